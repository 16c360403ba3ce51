//! Just enough JSON to look into the objects that passkeys exchange: members by name, their texts, objects and lists.
//! Strict about form, bounded in depth and number; keeps slices of the text and knows nothing of what they mean.

use std::borrow::Cow;

/// A JSON object inside a text that was read completely.
#[derive(Clone)]
pub(crate) struct Object<'j> {
    members: Vec<(Cow<'j, str>, Value<'j>)>,
}

/// A JSON value, as far as it matters here.
#[derive(Clone)]
pub(crate) enum Value<'j> {
    Text(Cow<'j, str>),
    Object(Object<'j>),
    #[cfg_attr(not(any(test, feature = "relay")), expect(dead_code, reason = "only a server looks into lists"))]
    List(Vec<Self>),
    /// A number, `true`, `false` or `null`.
    Other,
}

impl<'j> Object<'j> {
    /// Reads a text that is one object. `None` if it is anything else, nests deeper than 16 or holds more than 4,096
    /// values. Where a name comes twice, the first counts.
    pub(crate) fn parse(text: &'j str) -> Option<Self> {
        let mut reader = Reader { rest: text, values: 0 };
        let value = reader.value(0)?;
        reader.space();
        match value {
            Value::Object(object) if reader.rest.is_empty() => Some(object),
            _ => None,
        }
    }

    /// The member `name`, if it is a text.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        match self.member(name)? {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The member `name`, if it is an object.
    pub(crate) fn object(&self, name: &str) -> Option<&Self> {
        self.member(name)?.object()
    }

    /// The member `name`, if it is a list.
    #[cfg(any(test, feature = "relay"))]
    pub(crate) fn list(&self, name: &str) -> Option<&[Value<'j>]> {
        match self.member(name)? {
            Value::List(list) => Some(list),
            _ => None,
        }
    }

    fn member(&self, name: &str) -> Option<&Value<'j>> {
        self.members.iter().find(|(known, _)| known == name).map(|(_, value)| value)
    }
}

impl<'j> Value<'j> {
    /// The object that it is, if it is one.
    pub(crate) const fn object(&self) -> Option<&Object<'j>> {
        match self {
            Self::Object(object) => Some(object),
            _ => None,
        }
    }
}

struct Reader<'j> {
    rest: &'j str,
    values: usize,
}

impl<'j> Reader<'j> {
    fn value(&mut self, depth: usize) -> Option<Value<'j>> {
        self.values += 1;
        if depth > DEEPEST || self.values > MOST_VALUES {
            return None;
        }
        self.space();
        match self.rest.as_bytes().first()? {
            b'{' => self.object(depth).map(Value::Object),
            b'[' => self.list(depth).map(Value::List),
            b'"' => self.string().map(Value::Text),
            b't' => self.word("true"),
            b'f' => self.word("false"),
            b'n' => self.word("null"),
            _ => self.number(),
        }
    }

    fn object(&mut self, depth: usize) -> Option<Object<'j>> {
        let mut members: Vec<(Cow<'j, str>, Value<'j>)> = Vec::new();
        self.take('{')?;
        if self.takes('}') {
            return Some(Object { members });
        }
        loop {
            self.space();
            let name = self.string()?;
            self.take(':')?;
            members.push((name, self.value(depth + 1)?));
            if !self.takes(',') {
                self.take('}')?;
                return Some(Object { members });
            }
        }
    }

    fn list(&mut self, depth: usize) -> Option<Vec<Value<'j>>> {
        let mut values = Vec::new();
        self.take('[')?;
        if self.takes(']') {
            return Some(values);
        }
        loop {
            values.push(self.value(depth + 1)?);
            if !self.takes(',') {
                self.take(']')?;
                return Some(values);
            }
        }
    }

    fn string(&mut self) -> Option<Cow<'j, str>> {
        let text = self.rest.strip_prefix('"')?;
        let plain = text.find(|c: char| matches!(c, '"' | '\\') || c < ' ')?;
        let (start, rest) = text.split_at_checked(plain)?;
        self.rest = rest;
        if self.rest.starts_with('"') {
            self.rest = self.rest.strip_prefix('"')?;
            return Some(Cow::Borrowed(start));
        }
        let mut owned = start.to_owned();
        loop {
            let mut chars = self.rest.chars();
            let next = chars.next()?;
            self.rest = chars.as_str();
            match next {
                '"' => return Some(Cow::Owned(owned)),
                '\\' => owned.push(self.escaped()?),
                control if control < ' ' => return None,
                other => owned.push(other),
            }
        }
    }

    fn escaped(&mut self) -> Option<char> {
        let mut chars = self.rest.chars();
        let kind = chars.next()?;
        self.rest = chars.as_str();
        Some(match kind {
            '"' | '\\' | '/' => kind,
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'u' => return self.unicode(),
            _ => return None,
        })
    }

    fn unicode(&mut self) -> Option<char> {
        let first = self.unit()?;
        if !(0xD800..0xDC00).contains(&first) {
            // A low half alone is no character.
            return char::from_u32(first);
        }
        self.rest = self.rest.strip_prefix("\\u")?;
        let second = self.unit()?;
        let low = second.checked_sub(0xDC00).filter(|low| *low < 0x400)?;
        char::from_u32(0x1_0000 + ((first - 0xD800) << 10) + low)
    }

    fn unit(&mut self) -> Option<u32> {
        let (digits, rest) = self.rest.split_at_checked(4)?;
        if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return None;
        }
        self.rest = rest;
        u32::from_str_radix(digits, 16).ok()
    }

    fn word(&mut self, word: &str) -> Option<Value<'j>> {
        self.rest = self.rest.strip_prefix(word)?;
        Some(Value::Other)
    }

    /// What a number is does not matter here, only where it ends.
    fn number(&mut self) -> Option<Value<'j>> {
        let text = self.rest.strip_prefix('-').unwrap_or(self.rest);
        let end = text.find(|c: char| !matches!(c, '0'..='9' | '.' | 'e' | 'E' | '+' | '-')).unwrap_or(text.len());
        let (number, rest) = text.split_at_checked(end)?;
        if !number.starts_with(|c: char| c.is_ascii_digit()) || number.parse::<f64>().is_err() {
            return None;
        }
        self.rest = rest;
        Some(Value::Other)
    }

    fn take(&mut self, mark: char) -> Option<()> {
        self.takes(mark).then_some(())
    }

    fn takes(&mut self, mark: char) -> bool {
        self.space();
        let Some(rest) = self.rest.strip_prefix(mark) else { return false };
        self.rest = rest;
        true
    }

    fn space(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\r', '\n']);
    }
}

/// Passkeys nest three deep.
const DEEPEST: usize = 16;

/// They hold a few dozen values.
const MOST_VALUES: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn members_are_found_whatever_stands_around_them() {
        let text = r#" { "a" : "x\u0041\ud83d\ude00\n\"\/" , "o":{"list":[1,-2.5e3,{"id":"y"},true,false,null,[]]},"é":"ü","":"" } "#;
        let object = Object::parse(text).unwrap();
        assert_eq!(object.text("a"), Some("xA😀\n\"/"));
        assert_eq!(object.text("é"), Some("ü"));
        assert_eq!(object.text(""), Some(""));
        assert_eq!((object.text("o"), object.text("b")), (None, None));
        let list = object.object("o").unwrap().list("list").unwrap();
        assert_eq!(list.len(), 7);
        assert_eq!(list[2].object().unwrap().text("id"), Some("y"));
    }

    #[test]
    fn what_is_not_one_object_is_refused() {
        let deep = format!("{}{}", r#"{"a":"#.repeat(40), "}".repeat(40));
        let many = format!(r#"{{"a":[{}1]}}"#, "1,".repeat(5000));
        let bad = [
            "",
            " ",
            "[]",
            "1",
            "\"a\"",
            "null",
            "{",
            "}",
            "{}}",
            "{}x",
            "{a:1}",
            "{\"a\"}",
            "{\"a\":}",
            "{\"a\":1,}",
            "{\"a\":01x}",
            "{\"a\":-}",
            "{\"a\":+1}",
            "{\"a\":.5}",
            "{\"a\":tru}",
            "{\"a\":\"\\x\"}",
            "{\"a\":\"\\u12\"}",
            "{\"a\":\"\\ud800\"}",
            "{\"a\":\"\\ud800\\u0041\"}",
            "{\"a\":\"\\udc00\"}",
            "{\"a\":\"\n\"}",
            "{\"a\":\"x",
            "{\"a\":[1,]}",
            "{\"a\" 1}",
            &deep,
            &many,
        ];
        for text in bad {
            assert!(Object::parse(text).is_none(), "{text}");
        }
        assert!(Object::parse("{}").is_some());
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_a_panic_and_what_another_reader_takes_is_taken(
            text in r#"[\[\]{}:,"\\ a0-9.eE+\-tnu]{0,40}"#,
        ) {
            let ours = Object::parse(&text).is_some();
            let theirs = serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(&text).is_ok();
            // Numbers are read more generously here: their value is never used.
            prop_assert!(ours || !theirs, "{text}");
        }
    }
}
