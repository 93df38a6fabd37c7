//! TEMP
use asyncprof_core::profile::Profile;
use std::io::Write;
#[derive(Default)]
pub struct FlamegraphOptions;
#[derive(Debug, thiserror::Error)]
#[error("empty")]
pub struct EmptyProfile;
pub fn flamegraph(_: &Profile, _: &FlamegraphOptions, _: &mut impl Write) -> anyhow::Result<()> {
    Ok(())
}
pub struct ReportOptions {
    pub color: bool,
    pub limit: usize,
}
pub fn report(p: &Profile, _: &ReportOptions, w: &mut impl Write) -> anyhow::Result<()> {
    for (i, g) in p.groups.iter().enumerate() {
        writeln!(
            w,
            "G{i} {} {:?} tasks={} ok={} c={} p={} spawn={}",
            p.string(g.name),
            g.kind,
            g.tasks,
            g.completed,
            g.cancelled,
            g.panicked,
            p.stack(g.spawn_stack).len()
        )?;
    }
    for r in &p.rows {
        writeln!(
            w,
            "row g{} {:?} n={} total={:.3}ms open={} waker={:?}",
            r.group.0,
            r.state,
            r.stats.episodes,
            r.stats.total_ns as f64 / 1e6,
            r.open_episodes,
            p.wakers[r.waker.index()]
        )?;
        for f in p.stack(r.stack) {
            for x in &p.frame(*f).functions {
                writeln!(
                    w,
                    "      {} {}:{}",
                    p.string(x.name),
                    p.string(x.file).rsplit('/').next().unwrap(),
                    x.line
                )?;
            }
            if p.frame(*f).functions.is_empty() {
                writeln!(w, "      ??? {:x}", p.frame(*f).address)?;
            }
        }
    }
    writeln!(w, "{:?}\n{:?}", p.quality, p.processes)?;
    Ok(())
}
