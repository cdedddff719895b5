//! Python's `asgi_ipc`, in a virtual environment of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::SIZE;
use crate::children::Place;

const MESSAGES: usize = 2_000;
const PAIRS: usize = 200;

pub(crate) struct Original {
    python: PathBuf,
    program: PathBuf,
}

impl Original {
    /// Installs it unless it is there.
    pub(crate) fn install() -> Self {
        let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/processes/python");
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("asgi-ipc-original");
        let (build, run) = (
            here.join("build-requirements.txt"),
            here.join("requirements.txt"),
        );
        let installed = folder.join("installed.txt");
        let wanted = fs::read(&run).expect("it goes with this program");
        let python = folder.join("bin/python");
        if fs::read(&installed).ok().as_ref() != Some(&wanted) {
            // Newer ones do not have what the original uses.
            succeed(
                Command::new("python3.11")
                    .args(["-m", "venv", "--clear"])
                    .arg(&folder),
            );
            for (options, requirements) in [(&[][..], build), (&["--no-build-isolation"], run)] {
                let mut pip = Command::new(&python);
                pip.args([
                    "-m",
                    "pip",
                    "--quiet",
                    "--disable-pip-version-check",
                    "install",
                ]);
                succeed(pip.args(options).arg("--requirement").arg(requirements));
            }
            fs::write(&installed, wanted).expect("a folder of our own");
        }
        let program = here.join("layer.py");
        Self { python, program }
    }

    /// Messages per second.
    pub(crate) fn throughput(&self, place: &Place<'_>) -> f64 {
        self.measure(place, "throughput", &[SIZE, MESSAGES])
    }

    /// Nanoseconds for a send and a receive while `waiting` messages wait.
    pub(crate) fn pairs(&self, place: &Place<'_>, waiting: usize) -> f64 {
        self.measure(place, "pairs", &[SIZE, waiting, PAIRS])
    }

    fn measure(&self, place: &Place<'_>, what: &str, numbers: &[usize]) -> f64 {
        let output = Command::new("taskset")
            .args(["--cpu-list", &place.processors()])
            .arg(&self.python)
            .arg(&self.program)
            .arg(what)
            .arg(format!("asgi-ipc-bench-{}", std::process::id()))
            .args(numbers.iter().map(usize::to_string))
            .output()
            .expect("taskset is installed (apt-get install -y util-linux)");
        let said = String::from_utf8_lossy(&output.stdout);
        let figure = said.trim().parse();
        figure.unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)))
    }
}

fn succeed(command: &mut Command) {
    let status = command.status();
    let status = status.unwrap_or_else(|error| {
        panic!("{command:?}: {error}; apt-get install -y python3 python3-venv build-essential")
    });
    assert!(status.success(), "{command:?}: {status}");
}
