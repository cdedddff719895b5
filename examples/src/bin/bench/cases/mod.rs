//! The measurements.

mod idle;
mod throughput;
mod upload;

use crate::Result;
use crate::options::{Case, Options};
use crate::report::Report;

/// Measures what `options` ask for.
pub(crate) async fn run(options: &Options) -> Result<Report> {
    let mut report = Report::default();
    if options.wants(Case::Http) {
        throughput::http(options, &mut report).await?;
    }
    if options.wants(Case::Separate) {
        throughput::separate(options, &mut report).await?;
    }
    if options.wants(Case::Echo) {
        throughput::echo(options, &mut report).await?;
    }
    if options.wants(Case::Idle) {
        idle::measure(options, &mut report).await?;
    }
    if options.wants(Case::Upload) {
        upload::measure(&mut report)?;
    }
    Ok(report)
}
