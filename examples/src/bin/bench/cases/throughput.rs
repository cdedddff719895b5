use crate::Result;
use crate::child::Server;
use crate::load::{self, Echo, Exchange, Hello};
use crate::options::{Options, Side};
use crate::report::{Report, Row, Target};
use crate::stats::{Comparison, Medians, Sample};

const HTTP_CONNECTIONS: u32 = 64;
const ECHO_CONNECTIONS: u32 = 50;

/// HTTP "hello" through the stack against the same router behind `axum::serve`.
pub(super) async fn http(options: &Options, report: &mut Report) -> Result<()> {
    let sides = [Side::Stack, Side::Axum];
    let comparison = compare(options, sides, HTTP_CONNECTIONS, |_| Hello).await?;
    report.add(speed(
        "HTTP hello, requests per second / bare axum",
        &comparison,
        0.75,
    ));
    let Medians { ours, bare, ratio } = comparison.medians(|sample| sample.p99.as_secs_f64() * 1e3);
    let p50 = comparison.medians(|sample| sample.p50.as_secs_f64() * 1e3);
    report.add(Row {
        what: "HTTP hello, p99 / bare axum",
        measured: ratio,
        target: Target::AtMost(2.0),
        detail: format!(
            "p99 {ours:.2} ms of {bare:.2} ms; p50 {:.2} ms of {:.2} ms",
            p50.ours, p50.bare
        ),
    });
    Ok(())
}

/// The same through daphne and a worker in two processes.
pub(super) async fn separate(options: &Options, report: &mut Report) -> Result<()> {
    let sides = [Side::Separate, Side::Axum];
    let comparison = compare(options, sides, HTTP_CONNECTIONS, |_| Hello).await?;
    report.add(speed(
        "HTTP hello over shared memory / bare axum",
        &comparison,
        0.5,
    ));
    Ok(())
}

/// A WebSocket echo through the stack against a bare tokio-tungstenite echo.
pub(super) async fn echo(options: &Options, report: &mut Report) -> Result<()> {
    let sides = [Side::Stack, Side::Tungstenite];
    let comparison = compare(options, sides, ECHO_CONNECTIONS, Echo::new).await?;
    report.add(speed(
        "WebSocket echo, per second / bare tokio-tungstenite",
        &comparison,
        0.75,
    ));
    Ok(())
}

/// Loads both servers in turns, one while the other is idle.
async fn compare<E: Exchange>(
    options: &Options,
    [ours, bare]: [Side; 2],
    connections: u32,
    exchange: impl Fn(u32) -> E,
) -> Result<Comparison> {
    let ours = Server::start(ours)?;
    let bare = Server::start(bare)?;
    for server in [&ours, &bare] {
        load::run(server.address, connections, options.seconds / 4, &exchange).await?;
    }
    let mut comparison = Comparison::default();
    for _ in 0..options.rounds {
        let run =
            |server: &Server| load::run(server.address, connections, options.seconds, &exchange);
        comparison.ours.push(run(&ours).await?);
        comparison.bare.push(run(&bare).await?);
    }
    Ok(comparison)
}

fn speed(what: &'static str, comparison: &Comparison, at_least: f64) -> Row {
    let Medians { ours, bare, ratio } = comparison.medians(|sample: &Sample| sample.per_second);
    Row {
        what,
        measured: ratio,
        target: Target::AtLeast(at_least),
        detail: format!("{ours:.0}/s of {bare:.0}/s"),
    }
}
