//! What the operating system says a process costs. Linux only: it reads `/proc`.

use crate::Failure;
use std::fs;

/// Ticks of processor time in a second, as Linux counts for programs.
const TICKS_PER_SECOND: f64 = 100.0;

/// Megabytes that process `id` occupies now.
pub(crate) fn resident_mb(id: u32) -> Result<f64, Failure> {
    field(&format!("/proc/{id}/status"), "VmRSS:")
}

/// Megabytes that this process occupies now.
pub(crate) fn own_mb() -> Result<f64, Failure> {
    field("/proc/self/status", "VmRSS:")
}

/// The most that this process has occupied since [`forget_peak`].
pub(crate) fn peak_mb() -> Result<f64, Failure> {
    field("/proc/self/status", "VmHWM:")
}

/// Starts to measure the peak anew.
pub(crate) fn forget_peak() -> Result<(), Failure> {
    Ok(fs::write("/proc/self/clear_refs", "5")?)
}

/// Seconds of processor time that this process has used.
pub(crate) fn processor_seconds() -> Result<f64, Failure> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    let (_, numbers) = stat.rsplit_once(") ").ok_or("an unknown form of /proc/self/stat")?;
    let mut fields = numbers.split(' ').skip(11);
    let mut next = || -> Result<f64, Failure> { Ok(fields.next().ok_or("a short /proc/self/stat")?.parse()?) };
    Ok((next()? + next()?) / TICKS_PER_SECOND)
}

fn field(path: &str, name: &str) -> Result<f64, Failure> {
    let status = fs::read_to_string(path)?;
    let line = status.lines().find_map(|line| line.strip_prefix(name)).ok_or("a field is missing in /proc")?;
    let kilobytes: f64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kilobytes / 1024.0)
}
