//! Dates as HTTP writes them (RFC 9110, 5.6.7).
//!
//! Written in one format, read in three. Years 1970 to 9999; there is no clock in here.

use crate::time::UnixSeconds;

/// Bytes of a date in the preferred format.
pub const DATE_BYTES: usize = 29;

/// Writes `Sun, 06 Nov 1994 08:49:37 GMT`. Later than the year 9999 is the last second of it.
pub fn format(at: UnixSeconds) -> [u8; DATE_BYTES] {
    let seconds = at.0.min(LAST_SECOND);
    let (days, second) = (seconds / DAY, seconds % DAY);
    let (year, month, day) = civil_of_days(days);
    let mut out = *b"Thu, 01 Jan 1970 00:00:00 GMT";
    out[..3].copy_from_slice(DAYS[(days % 7) as usize].as_bytes());
    put_two(&mut out[5..7], day);
    out[8..11].copy_from_slice(MONTHS[month as usize - 1].as_bytes());
    put_two(&mut out[12..14], year / 100);
    put_two(&mut out[14..16], year % 100);
    put_two(&mut out[17..19], second / 3600);
    put_two(&mut out[20..22], second / 60 % 60);
    put_two(&mut out[23..25], second % 60);
    out
}

/// Reads a date in any of the three formats. The day of the week has to be one, not the right one.
///
/// A year of two digits is of 1970 to 2069. A leap second is the second after it.
pub fn parse(text: &[u8]) -> Option<UnixSeconds> {
    let (day, month, year, time) = match text {
        // Sun, 06 Nov 1994 08:49:37 GMT
        [_, _, _, b',', b' ', rest @ ..] if is_name(&text[..3], &DAYS) => {
            let [
                d1,
                d2,
                b' ',
                m1,
                m2,
                m3,
                b' ',
                y1,
                y2,
                y3,
                y4,
                b' ',
                time @ ..,
            ] = rest
            else {
                return None;
            };
            let year = number(&[*y1, *y2, *y3, *y4])?;
            (
                number(&[*d1, *d2])?,
                [*m1, *m2, *m3],
                year,
                time.strip_suffix(b" GMT")?,
            )
        }
        // Sun Nov  6 08:49:37 1994
        [_, _, _, b' ', m1, m2, m3, b' ', d1, d2, b' ', rest @ ..]
            if is_name(&text[..3], &DAYS) =>
        {
            let (time, year) = rest.split_at_checked(8)?;
            let tens = if *d1 == b' ' { b'0' } else { *d1 };
            let year = number(year.strip_prefix(b" ").filter(|y| y.len() == 4)?)?;
            (number(&[tens, *d2])?, [*m1, *m2, *m3], year, time)
        }
        // Sunday, 06-Nov-94 08:49:37 GMT
        _ => {
            let comma = text.iter().position(|&b| b == b',')?;
            let (name, rest) = text.split_at(comma);
            let [
                b',',
                b' ',
                d1,
                d2,
                b'-',
                m1,
                m2,
                m3,
                b'-',
                y1,
                y2,
                b' ',
                time @ ..,
            ] = rest
            else {
                return None;
            };
            if !LONG_DAYS.iter().any(|long| long.as_bytes() == name) {
                return None;
            }
            let year = number(&[*y1, *y2])?;
            let year = if year < 70 { 2000 + year } else { 1900 + year };
            (
                number(&[*d1, *d2])?,
                [*m1, *m2, *m3],
                year,
                time.strip_suffix(b" GMT")?,
            )
        }
    };
    let month = MONTHS.iter().position(|m| m.as_bytes() == month)? as u64 + 1;
    let [h1, h2, b':', m1, m2, b':', s1, s2] = time else {
        return None;
    };
    let (hour, minute) = (number(&[*h1, *h2])?, number(&[*m1, *m2])?);
    let second = number(&[*s1, *s2])?;
    let good = (1970..=9999).contains(&year)
        && (1..=days_in(year, month)).contains(&day)
        && hour < 24
        && minute < 60
        && second <= 60;
    let days = good.then(|| days_of_civil(year, month, day))?;
    Some(UnixSeconds(days * DAY + hour * 3600 + minute * 60 + second))
}

fn is_name(name: &[u8], names: &[&str]) -> bool {
    names.iter().any(|n| n.as_bytes() == name)
}

/// A number of a few digits and nothing else.
fn number(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0, |n, b| {
        b.is_ascii_digit().then(|| n * 10 + u64::from(b - b'0'))
    })
}

/// Writes a number below 100.
fn put_two(out: &mut [u8], n: u64) {
    out[0] = b'0' + (n / 10 % 10) as u8;
    out[1] = b'0' + (n % 10) as u8;
}

fn is_leap(year: u64) -> bool {
    (year % 4 == 0 && year % 100 != 0) || year % 400 == 0
}

fn days_in(year: u64, month: u64) -> u64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

// Both ways count from the first of March of year 0, so that the leap day is the last of its year,
// and in cycles of 400 years, which are all equally long.

fn days_of_civil(year: u64, month: u64, day: u64) -> u64 {
    let year = if month <= 2 { year - 1 } else { year };
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    year * 365 + year / 4 - year / 100 + year / 400 + day_of_year - DAYS_TO_1970
}

fn civil_of_days(days: u64) -> (u64, u64, u64) {
    let days = days + DAYS_TO_1970;
    let (cycle, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day_of_year = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = cycle * 400 + year + u64::from(month <= 2);
    (year, month, day)
}

const DAY: u64 = 86_400;
/// 9999-12-31 23:59:59.
const LAST_SECOND: u64 = 253_402_300_799;
/// From 0000-03-01.
const DAYS_TO_1970: u64 = 719_468;
/// The first of January 1970 was a Thursday.
const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
#[rustfmt::skip]
const LONG_DAYS: [&str; 7] =
    ["Thursday", "Friday", "Saturday", "Sunday", "Monday", "Tuesday", "Wednesday"];
#[rustfmt::skip]
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_dates() {
        #[rustfmt::skip]
        let cases: &[(u64, &str)] = &[
            (0,               "Thu, 01 Jan 1970 00:00:00 GMT"),
            (784_111_777,     "Sun, 06 Nov 1994 08:49:37 GMT"),
            (951_782_400,     "Tue, 29 Feb 2000 00:00:00 GMT"),
            (951_868_799,     "Tue, 29 Feb 2000 23:59:59 GMT"),
            (1_709_164_800,   "Thu, 29 Feb 2024 00:00:00 GMT"),
            (4_107_542_400,   "Mon, 01 Mar 2100 00:00:00 GMT"),
            (LAST_SECOND,     "Fri, 31 Dec 9999 23:59:59 GMT"),
        ];
        for &(seconds, text) in cases {
            assert_eq!(format(UnixSeconds(seconds)), text.as_bytes());
            assert_eq!(parse(text.as_bytes()), Some(UnixSeconds(seconds)), "{text}");
            for cut in 0..text.len() {
                assert_eq!(
                    parse(&text.as_bytes()[..cut]),
                    None,
                    "{text}, cut after {cut}"
                );
            }
        }
        assert_eq!(
            format(UnixSeconds(u64::MAX)),
            format(UnixSeconds(LAST_SECOND))
        );
    }

    /// Every day of 1970 to 9999 comes after the one before it.
    #[test]
    fn days_follow_each_other() {
        let (mut year, mut month, mut day) = (1970, 1, 1);
        for days in 0..=LAST_SECOND / DAY {
            assert_eq!(civil_of_days(days), (year, month, day));
            assert_eq!(days_of_civil(year, month, day), days);
            day += 1;
            if day > days_in(year, month) {
                (month, day) = (month + 1, 1);
            }
            if month > 12 {
                (year, month) = (year + 1, 1);
            }
        }
    }

    #[test]
    fn other_formats() {
        #[rustfmt::skip]
        let cases: &[(&str, Option<u64>)] = &[
            ("Sunday, 06-Nov-94 08:49:37 GMT", Some(784_111_777)),
            ("Sun Nov  6 08:49:37 1994",       Some(784_111_777)),
            ("Sun Nov 06 08:49:37 1994",       Some(784_111_777)),
            ("Monday, 01-Jan-69 00:00:00 GMT", Some(3_124_224_000)),
            ("Sat, 31 Dec 2016 23:59:60 GMT",  Some(1_483_228_800)),
            ("Sun, 06 Nov 1994 08:49:37",      None),
            ("Sun, 06 Nov 1994 08:49:37 UTC",  None),
            ("Sun, 6 Nov 1994 08:49:37 GMT",   None),
            ("Sun, 06 nov 1994 08:49:37 GMT",  None),
            ("Sux, 06 Nov 1994 08:49:37 GMT",  None),
            ("Sun, 00 Nov 1994 08:49:37 GMT",  None),
            ("Sun, 31 Nov 1994 08:49:37 GMT",  None),
            ("Wed, 29 Feb 2023 00:00:00 GMT",  None),
            ("Sun, 06 Nov 1994 24:00:00 GMT",  None),
            ("Sun, 06 Nov 1994 08:60:00 GMT",  None),
            ("Sun, 06 Nov 1994 08:49:61 GMT",  None),
            ("Wed, 31 Dec 1969 23:59:59 GMT",  None),
            ("Sun, 06 Nov 1994 +8:49:37 GMT",  None),
            ("Funday, 06-Nov-94 08:49:37 GMT", None),
            ("Sun Nov  6 08:49:37 94",         None),
            ("Sun Nov  6 08:49:37 1994x",      None),
            ("0", None), ("", None), (",", None), ("\u{e9}, ", None),
        ];
        for &(text, want) in cases {
            assert_eq!(parse(text.as_bytes()), want.map(UnixSeconds), "{text}");
        }
    }
}
