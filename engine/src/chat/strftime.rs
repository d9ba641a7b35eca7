//! `strftime_now(format)`: a given time, in UTC, in the words of C's `strftime`, English names. It
//! asks no clock.

use std::fmt::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};

const DAYS: [&str; 7] =
    ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// The time by parts.
struct Parts {
    year: i64,
    /// From 0.
    month: usize,
    /// From 1.
    day: i64,
    /// From 1.
    day_of_year: i64,
    /// From Monday, 0.
    weekday: usize,
    hour: i64,
    minute: i64,
    second: i64,
}

/// `time` as `format` says, in UTC: `%FT%TZ` is RFC 3339.
///
/// # Errors
/// In words, if the format holds a directive that is not known here.
pub fn strftime(format: &str, time: SystemTime) -> Result<String, String> {
    let parts = parts(time);
    let mut out = String::new();
    let mut chars = format.chars();
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let mut directive = chars.next();
        // `%-d`: without leading zeros.
        let plain = directive == Some('-');
        if plain {
            directive = chars.next();
        }
        push(&mut out, &parts, directive, plain)?;
    }
    Ok(out)
}

fn push(out: &mut String, p: &Parts, directive: Option<char>, plain: bool) -> Result<(), String> {
    let hour12 = (p.hour + 11) % 12 + 1;
    let (number, width) = match directive {
        Some('Y') => (p.year, 1),
        Some('y') => (p.year.rem_euclid(100), 2),
        Some('m') => (p.month as i64 + 1, 2),
        Some('d') => (p.day, 2),
        Some('j') => (p.day_of_year, 3),
        Some('H') => (p.hour, 2),
        Some('I') => (hour12, 2),
        Some('M') => (p.minute, 2),
        Some('S') => (p.second, 2),
        Some(other) => {
            match other {
                'A' => out.push_str(DAYS[p.weekday]),
                'a' => out.push_str(&DAYS[p.weekday][..3]),
                'B' => out.push_str(MONTHS[p.month]),
                'b' | 'h' => out.push_str(&MONTHS[p.month][..3]),
                'p' => out.push_str(if p.hour < 12 { "AM" } else { "PM" }),
                'Z' => out.push_str("UTC"),
                'z' => out.push_str("+0000"),
                '%' => out.push('%'),
                'F' | 'T' | 'D' | 'R' => {
                    let parts = match other {
                        'F' => "Y-m-d",
                        'T' => "H:M:S",
                        'D' => "m/d/y",
                        _ => "H:M",
                    };
                    for c in parts.chars() {
                        match c.is_ascii_alphabetic() {
                            true => push(out, p, Some(c), false)?,
                            false => out.push(c),
                        }
                    }
                }
                _ => return Err(format!("strftime_now knows no %{other}")),
            }
            return Ok(());
        }
        None => return Err("the format of strftime_now ends with %".into()),
    };
    let width = if plain { 1 } else { width };
    let _ = write!(out, "{number:0width$}");
    Ok(())
}

/// Civil date of a time, by the algorithm of days since March 1st of year 0.
fn parts(time: SystemTime) -> Parts {
    let seconds = match time.duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
        Err(before) => -i64::try_from(before.duration().as_secs()).unwrap_or(i64::MAX),
    };
    let (days, of_day) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let from_march = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * from_march + 2) / 153;
    let day = from_march - (153 * march_month + 2) / 5 + 1;
    let month = (march_month + 2) % 12;
    let year = year_of_era + era * 400 + i64::from(month < 2);
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let january =
        if from_march >= 306 { from_march - 306 } else { from_march + 59 + i64::from(leap) };
    Parts {
        year,
        month: usize::try_from(month).unwrap_or_default(),
        day,
        day_of_year: january + 1,
        weekday: usize::try_from((days + 3).rem_euclid(7)).unwrap_or_default(),
        hour: of_day / 3600,
        minute: of_day / 60 % 60,
        second: of_day % 60,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(seconds: u64, format: &str) -> String {
        strftime(format, UNIX_EPOCH + Duration::from_secs(seconds)).expect("a good format")
    }

    #[test]
    fn known_times_are_written_as_c_does() {
        // date -u -d @N +FORMAT
        assert_eq!(at(0, "%A %d %B %Y %H:%M:%S %j"), "Thursday 01 January 1970 00:00:00 001");
        assert_eq!(at(951_782_400, "%d %b %Y, day %j, %a"), "29 Feb 2000, day 060, Tue");
        assert_eq!(at(951_868_800, "%F day %j"), "2000-03-01 day 061");
        assert_eq!(at(1_735_689_599, "%F %T %j"), "2024-12-31 23:59:59 366");
        assert_eq!(at(1_740_787_200, "%F %j"), "2025-03-01 060");
        assert_eq!(
            at(1_745_000_000, "%D %R %I %p %y %-m/%-d 100%% %Z"),
            "04/18/25 18:13 06 PM 25 4/18 100% UTC"
        );
        assert_eq!(at(43_200, "%I%p"), "12PM");
        assert_eq!(at(4_107_542_400, "%F"), "2100-03-01", "no leap year");
    }

    #[test]
    fn unknown_directives_are_refused() {
        let refusal = |format| strftime(format, UNIX_EPOCH).expect_err("refused");
        assert_eq!(refusal("%Q"), "strftime_now knows no %Q");
        assert_eq!(refusal("a%"), "the format of strftime_now ends with %");
    }
}
