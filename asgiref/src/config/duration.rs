use std::time::Duration;

/// Reads a number of seconds, or a number with a unit.
pub(super) fn parse(text: &str) -> Result<Duration, &'static str> {
    const SYNTAX: &str = "must be a number of seconds, or a number with one of the units `ms`, \
                          `s`, `m`, `h` and `d`";
    let text = text.trim();
    let unit_at = text
        .find(|char: char| !(char.is_ascii_digit() || char == '.'))
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(unit_at);
    let number: f64 = number.parse().map_err(|_| SYNTAX)?;
    let seconds = match unit.trim_start() {
        "" | "s" => number,
        "ms" => number / 1000.0,
        "m" => number * 60.0,
        "h" => number * 3600.0,
        "d" => number * 86_400.0,
        _ => return Err(SYNTAX),
    };
    from_seconds(seconds)
}

/// The duration of a number of seconds.
pub(super) fn from_seconds(seconds: f64) -> Result<Duration, &'static str> {
    Duration::try_from_secs_f64(seconds).map_err(|_| {
        if seconds < 0.0 {
            "must not be negative"
        } else {
            "is longer than can be expressed"
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_and_units() {
        for (text, milliseconds) in [
            ("0", 0),
            ("30", 30_000),
            ("0.5", 500),
            ("30s", 30_000),
            ("500ms", 500),
            ("2m", 120_000),
            ("1.5h", 5_400_000),
            ("1d", 86_400_000),
            (" 3 s ", 3000),
        ] {
            assert_eq!(
                parse(text),
                Ok(Duration::from_millis(milliseconds)),
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_no_duration() {
        for text in [
            "", "s", "-1", "1.2.3", "1 y", "1e3", "inf", "NaN", "ten", "10 s m",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
        assert!(parse(&"9".repeat(400)).is_err());
        assert!(from_seconds(-1.0).is_err());
        assert!(from_seconds(f64::NAN).is_err());
    }
}
