//! QR codes in a terminal: two rows of modules per line of half blocks.

use qrcode::{Color, EcLevel, QrCode};

/// Draws `text` for light letters on a dark ground (the caller sets the colours): light modules are printed, dark ones
/// left empty, and a light border of two modules surrounds it. `None` when the text is too long for a QR code.
pub(crate) fn draw(text: &str) -> Option<String> {
    let code = QrCode::with_error_correction_level(text, EcLevel::L).ok()?;
    let width = code.width();
    let colors = code.to_colors();
    let size = width + 2 * BORDER;
    let light = |x: usize, y: usize| {
        let inside = |at: usize| (BORDER..BORDER + width).contains(&at);
        if !inside(x) || !inside(y) {
            return y < size;
        }
        colors.get((y - BORDER) * width + x - BORDER) != Some(&Color::Dark)
    };
    let mut drawn = String::with_capacity(size * size * 2);
    for y in (0..size).step_by(2) {
        for x in 0..size {
            drawn.push(match (light(x, y), light(x, y + 1)) {
                (true, true) => '█',
                (true, false) => '▀',
                (false, true) => '▄',
                (false, false) => ' ',
            });
        }
        drawn.push('\n');
    }
    Some(drawn)
}

const BORDER: usize = 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drawing_keeps_every_module() {
        let code = QrCode::with_error_correction_level("hello", EcLevel::L).unwrap();
        let drawn = draw("hello").unwrap();
        let lines: Vec<Vec<char>> = drawn.lines().map(|line| line.chars().collect()).collect();
        let size = code.width() + 2 * BORDER;
        assert!(lines.len() == size.div_ceil(2) && lines.iter().all(|line| line.len() == size));
        for y in 0..code.width() {
            for x in 0..code.width() {
                let (row, half) = ((y + BORDER) / 2, (y + BORDER) % 2);
                let light = match lines[row][x + BORDER] {
                    '█' => true,
                    '▀' => half == 0,
                    '▄' => half == 1,
                    _ => false,
                };
                assert_eq!(light, code[(x, y)] == Color::Light, "module {x},{y}");
            }
        }
    }

    #[test]
    fn text_beyond_the_largest_code_is_refused() {
        assert!(draw(&"x".repeat(5000)).is_none());
    }
}
