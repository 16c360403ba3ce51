//! The name of an entry: a JSON array of strings, of which the first is the action.

/// The elements of an entry's name.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Index(Vec<String>);

/// The bytes are not a flat JSON array with at least one element.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an index is a flat JSON array with at least one element")]
pub struct IndexError;

/// No action has near so many elements.
const MOST_ELEMENTS: usize = 64;

impl Index {
    /// The name of these elements; the first is the action's name.
    #[must_use]
    pub fn new<'t>(action: &'t str, rest: impl IntoIterator<Item = &'t str>) -> Self {
        Self(std::iter::once(action).chain(rest).map(Into::into).collect())
    }

    /// Reads a name. Numbers, booleans and null are taken as their text. Fails on anything else than a flat array.
    pub fn parse(json: &[u8]) -> Result<Self, IndexError> {
        let text = std::str::from_utf8(json).map_err(|_| IndexError)?;
        let mut rest = skip(text).strip_prefix('[').map(skip).ok_or(IndexError)?;
        let mut elements = Vec::new();
        loop {
            let (element, behind) = element(rest).ok_or(IndexError)?;
            elements.push(element);
            let behind = skip(behind);
            if let Some(end) = behind.strip_prefix(']') {
                return if skip(end).is_empty() { Ok(Self(elements)) } else { Err(IndexError) };
            }
            rest = behind.strip_prefix(',').map(skip).filter(|_| elements.len() < MOST_ELEMENTS).ok_or(IndexError)?;
        }
    }

    /// The action's name.
    #[must_use]
    pub fn action(&self) -> &str {
        self.element(0)
    }

    /// The element at `place`, the action being at 0; empty when there is none.
    #[must_use]
    pub fn element(&self, place: usize) -> &str {
        self.0.get(place).map_or("", String::as_str)
    }

    /// All elements.
    #[must_use]
    pub fn elements(&self) -> &[String] {
        &self.0
    }

    /// The JSON text, byte for byte as JavaScript writes it: every device must write the same to name the same entry.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = String::from("[");
        for (place, element) in self.0.iter().enumerate() {
            text.push_str(if place == 0 { "\"" } else { ",\"" });
            element.chars().for_each(|character| escape(&mut text, character));
            text.push('"');
        }
        text.push(']');
        text
    }
}

impl std::fmt::Debug for Index {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Index({}, {} more)", self.action(), self.0.len().saturating_sub(1))
    }
}

fn skip(text: &str) -> &str {
    text.trim_start_matches([' ', '\t', '\n', '\r'])
}

fn element(text: &str) -> Option<(String, &str)> {
    if let Some(inside) = text.strip_prefix('"') {
        return string(inside);
    }
    let end = text.find([',', ']', ' ', '\t', '\n', '\r'])?;
    let (plain, rest) = text.split_at_checked(end)?;
    let number = plain.starts_with(|first: char| first == '-' || first.is_ascii_digit())
        && plain.chars().all(|each| each.is_ascii_digit() || matches!(each, '-' | '+' | '.' | 'e' | 'E'));
    (number || matches!(plain, "true" | "false" | "null")).then(|| (plain.into(), rest))
}

/// Reads a string behind its opening quote.
fn string(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut rest = text.chars();
    loop {
        match rest.next()? {
            '"' => return Some((value, rest.as_str())),
            '\\' => value.push(unescape(&mut rest)?),
            control if control < ' ' => return None,
            plain => value.push(plain),
        }
    }
}

fn unescape(rest: &mut std::str::Chars<'_>) -> Option<char> {
    Some(match rest.next()? {
        'b' => '\u{8}',
        'f' => '\u{c}',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'u' => {
            let unit = hex(rest)?;
            if !(0xd800..0xdc00).contains(&unit) {
                return char::from_u32(unit);
            }
            // The other half of a pair has to follow.
            (rest.next()? == '\\' && rest.next()? == 'u').then_some(())?;
            let low = hex(rest)?.checked_sub(0xdc00).filter(|low| *low < 0x400)?;
            char::from_u32(0x1_0000 + ((unit - 0xd800) << 10) + low)?
        }
        same @ ('"' | '\\' | '/') => same,
        _ => return None,
    })
}

fn hex(rest: &mut std::str::Chars<'_>) -> Option<u32> {
    (0..4).try_fold(0, |value, _| Some(value * 16 + rest.next()?.to_digit(16)?))
}

fn escape(text: &mut String, character: char) {
    match character {
        '"' => text.push_str("\\\""),
        '\\' => text.push_str("\\\\"),
        '\u{8}' => text.push_str("\\b"),
        '\u{c}' => text.push_str("\\f"),
        '\n' => text.push_str("\\n"),
        '\r' => text.push_str("\\r"),
        '\t' => text.push_str("\\t"),
        control if control < ' ' => text.push_str(&format!("\\u{:04x}", u32::from(control))),
        plain => text.push(plain),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn text_is_what_another_json_library_writes(elements in prop::collection::vec(any::<String>(), 1..8)) {
            let index = Index::new(&elements[0], elements[1..].iter().map(String::as_str));
            let text = index.to_text();
            prop_assert_eq!(&text, &serde_json::to_string(&elements).unwrap());
            prop_assert_eq!(Index::parse(text.as_bytes()), Ok(index));
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            let _ = Index::parse(&bytes);
        }

        #[test]
        fn agrees_with_another_json_library_on_what_is_a_list_of_strings(text in r#"\[?("[a\\u0n"]{0,6}"?[, ]?){0,3}\]?"#) {
            let theirs = serde_json::from_str::<Vec<String>>(&text).ok().filter(|list| !list.is_empty());
            prop_assert_eq!(Index::parse(text.as_bytes()).ok().map(|index| index.0), theirs);
        }
    }

    #[test]
    fn plain_values_are_taken_as_text() {
        let index = Index::parse(br#" [ "a" , 1,-2.5e3 ,true,null,"\u00e9\ud83d\ude42\/" ] "#).unwrap();
        assert_eq!(index.elements(), ["a", "1", "-2.5e3", "true", "null", "é🙂/"]);
        for bad in
            ["", "[]", "[", "[1", "[\"a\"", "[\"a\",]", "[a]", "[[1]]", "{}", "[\"a\"]x", "[\"\\ud800\"]", "[\"\n\"]"]
        {
            assert_eq!(Index::parse(bad.as_bytes()), Err(IndexError), "{bad}");
        }
    }
}
