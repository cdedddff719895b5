//! Headless Chromium, driven by chromedriver.

use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use fantoccini::elements::Element;
use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::{Map, Value, json};
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use crate::support::{LIMIT, Program};

/// What to do if the browser is missing.
const INSTALL: &str =
    "apt-get install -y --no-install-recommends chromium chromium-driver fonts-dejavu";

/// How often to look whether a page has changed.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// A running chromedriver; everything it started ends with this value.
pub(crate) struct Driver {
    child: Child,
    /// Kept open, for the program to write to.
    _stdout: BufReader<ChildStdout>,
    port: u16,
    chromium: PathBuf,
}

impl Driver {
    pub(crate) fn start() -> Self {
        let chromium = program("chromium");
        let mut child = Command::new(program("chromedriver"))
            .arg("--port=0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            // A group of its own, to end the browsers too when a test fails.
            .process_group(0)
            .spawn()
            .expect("chromedriver starts");
        let stdout = child.stdout.take().expect("its output is piped");
        let mut stdout = BufReader::new(stdout);
        let port = port_in(&mut stdout);
        Self {
            child,
            _stdout: stdout,
            port,
            chromium,
        }
    }

    /// A browser of its own for `name`.
    pub(crate) async fn page(&self, name: &'static str) -> Page {
        let profile = TempDir::new().expect("a directory for the browser");
        let arguments = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--window-size=900,700",
            &format!("--user-data-dir={}", profile.path().display()),
        ];
        let options = json!({"binary": self.chromium, "args": arguments});
        let capabilities = Map::from_iter([("goog:chromeOptions".to_owned(), options)]);
        let client = ClientBuilder::new(HttpConnector::new())
            .capabilities(capabilities)
            .connect(&format!("http://127.0.0.1:{}", self.port))
            .await
            .expect("a browser starts");
        Page {
            name,
            client,
            _profile: profile,
        }
    }

    /// Closes the browsers in the regular way.
    pub(crate) async fn stop<const N: usize>(self, pages: [Page; N]) {
        for page in pages {
            page.client.close().await.expect("the browser closes");
        }
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        let group = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        if let Some(group) = group {
            // An error here means that it has ended by itself.
            let _ = kill_process_group(group, Signal::KILL);
        }
        let _ = self.child.wait();
    }
}

/// Somebody's browser.
pub(crate) struct Page {
    pub(crate) name: &'static str,
    client: Client,
    /// Removed with the page.
    _profile: TempDir,
}

impl Page {
    pub(crate) async fn open(&self, chat: &Program, path: &str) {
        let url = format!("http://{}{path}", chat.address);
        self.client.goto(&url).await.expect("the page loads");
    }

    /// Goes to the front page and from there into `room`.
    pub(crate) async fn enter(&self, chat: &Program, room: &str) {
        self.open(chat, "/").await;
        self.fill("room", room).await;
        self.fill("name", self.name).await;
        self.press("#enter button").await;
        self.wait_for_state("open").await;
        self.wait_for_line(&format!("{} joined", self.name)).await;
    }

    pub(crate) async fn say(&self, text: &str) {
        self.type_in(text).await;
        self.press_send().await;
    }

    pub(crate) async fn type_in(&self, text: &str) {
        self.fill("text", text).await;
    }

    pub(crate) async fn press_send(&self) {
        self.press("#send").await;
    }

    pub(crate) async fn fill(&self, id: &str, text: &str) {
        let field = self.find(&format!("#{id}")).await;
        field.clear().await.expect("the field can be changed");
        field.send_keys(text).await.expect("the field takes text");
    }

    pub(crate) async fn value_of(&self, id: &str) -> String {
        let value = self.find(&format!("#{id}")).await.prop("value").await;
        value
            .expect("the field can be read")
            .expect("it has a value")
    }

    pub(crate) async fn title(&self) -> String {
        self.client.title().await.expect("the page has a title")
    }

    pub(crate) async fn reload(&self) {
        self.client.refresh().await.expect("the page loads");
    }

    pub(crate) async fn press(&self, button: &str) {
        let button = self.find(button).await;
        button.click().await.expect("the button can be pressed");
    }

    async fn find(&self, selector: &str) -> Element {
        self.client
            .wait()
            .at_most(LIMIT)
            .for_element(Locator::Css(selector))
            .await
            .unwrap_or_else(|error| panic!("{}'s page has no {selector}: {error}", self.name))
    }

    /// How many elements of the page `selector` matches.
    pub(crate) async fn count(&self, selector: &str) -> usize {
        let found = self.client.find_all(Locator::Css(selector)).await;
        found.expect("the page can be searched").len()
    }

    /// Waits until the page says that its connection is in `state`.
    pub(crate) async fn wait_for_state(&self, state: &str) {
        self.find(&format!("#status[data-state={state}]")).await;
    }

    pub(crate) async fn wait_for_line(&self, line: &str) {
        let deadline = Instant::now() + LIMIT;
        loop {
            let lines = self.lines().await;
            if lines.iter().any(|shown| shown == line) {
                return;
            }
            assert!(
                Instant::now() < deadline,
                "{}'s page does not show {line:?}, only {lines:?}",
                self.name
            );
            sleep(LOOK_AGAIN).await;
        }
    }

    /// What the page shows: `Ann: text` for messages, the text of other lines.
    pub(crate) async fn lines(&self) -> Vec<String> {
        const SCRIPT: &str = "
            return [...document.querySelectorAll('#lines > li')].map((line) => {
                const part = (name) => line.querySelector(name)?.textContent;
                const who = part('.who');
                return who === undefined ? line.textContent : `${who}: ${part('.text')}`;
            });";
        let lines = self.client.execute(SCRIPT, Vec::new()).await;
        let Value::Array(lines) = lines.expect("the script runs") else {
            panic!("the script returns a list");
        };
        lines
            .iter()
            .map(|line| line.as_str().expect("lines are text").to_owned())
            .collect()
    }

    /// Saves what the page looks like among the build's temporary files.
    pub(crate) async fn screenshot(&self, name: &str) {
        let picture = self.client.screenshot().await.expect("a screenshot");
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::write(&path, picture).expect("the screenshot is saved");
        println!("screenshot: {}", path.display());
    }
}

/// The path of an installed program.
fn program(name: &str) -> PathBuf {
    let directories = std::env::var_os("PATH").expect("a search path");
    std::env::split_paths(&directories)
        .map(|directory| directory.join(name))
        .find(|path| path.is_file())
        .unwrap_or_else(|| panic!("{name} is not installed; to install it: {INSTALL}"))
}

/// The port chromedriver says it has taken.
fn port_in(stdout: &mut BufReader<ChildStdout>) -> u16 {
    let mut said = String::new();
    loop {
        let mut line = String::new();
        let read = stdout.read_line(&mut line).expect("its output is text");
        assert!(read > 0, "chromedriver ended without a port: {said:?}");
        let port = line
            .split_once("successfully on port ")
            .and_then(|(_, rest)| rest.trim().trim_end_matches('.').parse().ok());
        if let Some(port) = port {
            return port;
        }
        said.push_str(&line);
    }
}
