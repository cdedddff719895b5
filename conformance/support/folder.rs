//! Temporary folders.

use std::io::Write as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, OnceLock};

use tempfile::TempDir;

/// A temporary folder that is removed with this value, and if nobody drops it, as with what
/// lives as long as the program, at the program's end, however that comes.
#[derive(Debug)]
pub struct Folder {
    folder: TempDir,
}

impl Folder {
    pub fn new() -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        remove_at_the_end(folder.path());
        Self { folder }
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }
}

/// Waits for the end of its input, which is that of whoever writes to it. Servers that end at the
/// same time may still be writing into their folders.
const SWEEPER: &str = r#"
    trap '' INT TERM HUP
    folders=()
    while read -r folder; do folders+=("$folder"); done
    for try in {1..50}; do
        rm -rf -- "${folders[@]}" 2>/dev/null && exit
        sleep 0.1
    done
"#;

fn remove_at_the_end(folder: &Path) {
    static CHILD: OnceLock<Mutex<Child>> = OnceLock::new();
    let child = CHILD.get_or_init(|| {
        let mut command = Command::new("bash");
        command.args(["-c", SWEEPER]).stdin(Stdio::piped());
        command.stdout(Stdio::null()).stderr(Stdio::null());
        Mutex::new(command.spawn().expect("a shell"))
    });
    let mut child = child.lock().expect("nobody panics while holding it");
    let stdin = child.stdin.as_mut().expect("its input is piped");
    writeln!(stdin, "{}", folder.display()).expect("the shell reads");
}
