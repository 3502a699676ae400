//! How many descriptors the process may have.

/// The soft limit of open files (`RLIMIT_NOFILE`), as it is now; `u64::MAX` if there is none.
///
/// It is read from `/proc/self/limits`. Where there is no such file (macOS) the answer is 256, the
/// lowest that a system in use begins with: set the limit on connections by hand there.
pub fn open_files_limit() -> u64 {
    std::fs::read_to_string("/proc/self/limits")
        .ok()
        .and_then(|table| soft_limit(&table))
        .unwrap_or(FALLBACK)
}

/// The soft limit in the row `Max open files`, the number after the name.
fn soft_limit(table: &str) -> Option<u64> {
    let row = table
        .lines()
        .find_map(|l| l.strip_prefix("Max open files"))?;
    match row.split_whitespace().next()? {
        "unlimited" => Some(u64::MAX),
        number => number.parse().ok(),
    }
}

const FALLBACK: u64 = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_row_of_the_table() {
        let head = "Limit                     Soft Limit           Hard Limit           Units\n";
        for (row, want) in [
            (
                "Max open files            1024                 1048576              files",
                Some(1024),
            ),
            (
                "Max open files            unlimited            unlimited            files",
                Some(u64::MAX),
            ),
            ("Max open files            many", None),
            ("Max open files", None),
            (
                "Max processes             7                    7                    processes",
                None,
            ),
        ] {
            assert_eq!(soft_limit(&format!("{head}{row}\n")), want, "{row}");
        }
    }

    #[test]
    fn of_this_process() {
        assert!(open_files_limit() > 10);
    }
}
