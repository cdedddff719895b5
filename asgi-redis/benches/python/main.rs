//! The layer beside Python's `asgi_redis`, in one run, over the same Redis.
//!
//! ```text
//! cargo bench -p asgi-redis --bench python
//! cargo bench -p asgi-redis --bench python -- http --rounds 9
//! ```
//!
//! Whatever sends, receives, serves or works is a process of its own, on either side; see `cases`
//! for what is measured. The sides take turns, and the ratio is the median of those of the rounds:
//! what slows the machine down for a while slows both.

use std::error::Error;
use std::process::ExitCode;

#[path = "../../tests/support/mod.rs"]
mod support;

mod cases;
mod load;
mod ours;
mod peer;
mod report;

use cases::Case;

type Outcome<T = ()> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<ExitCode> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [role, rest @ ..] = &arguments[..]
        && let Some(role) = role.strip_prefix(peer::ROLE)
    {
        ours::run(role, rest)?;
        return Ok(ExitCode::SUCCESS);
    }
    // `cargo test` runs benchmarks to see that they start; this one takes a while.
    if !arguments.iter().any(|argument| argument == "--bench") {
        return Ok(ExitCode::SUCCESS);
    }
    let options = Options::parse(&arguments)?;
    let mut is_met = true;
    for case in Case::ALL {
        if options.wants(case) {
            let comparison = case.measure(options.rounds)?;
            println!("{comparison}");
            is_met &= comparison.is_met();
        }
    }
    Ok(if is_met || !options.check {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// What to measure.
struct Options {
    /// Everything if there is none.
    cases: Vec<String>,
    /// How often each side of a comparison has its turn.
    rounds: usize,
    /// Whether a target that is missed is an error.
    check: bool,
}

impl Options {
    fn parse(arguments: &[String]) -> Outcome<Self> {
        let mut options = Self {
            cases: Vec::new(),
            rounds: 5,
            check: false,
        };
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--bench" => {}
                "--check" => options.check = true,
                "--rounds" => {
                    let rounds = arguments.next().ok_or("--rounds needs a number")?;
                    options.rounds = rounds.parse()?;
                }
                name if Case::ALL.iter().any(|case| case.name() == name) => {
                    options.cases.push(name.to_owned());
                }
                other => {
                    let names = Case::ALL.map(Case::name).join(", ");
                    return Err(format!("{other}: not one of {names}, --rounds, --check").into());
                }
            }
        }
        Ok(options)
    }

    fn wants(&self, case: Case) -> bool {
        self.cases.is_empty() || self.cases.iter().any(|name| name == case.name())
    }
}
