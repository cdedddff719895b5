//! One connection, shared by any number of callers: their commands go out together, and answers
//! come back in the order of the commands.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf as _, BytesMut};
use tokio::io::AsyncWrite as _;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval};
use tokio_util::io::poll_read_buf;

use super::batch::{self, Part};
use super::options::ConnectionOptions;
use super::resp::{self, Command, Reply};
use super::stream::Stream;
use crate::error::{Error, Result};

/// How many commands wait to be written before callers wait.
const QUEUE: usize = 4096;

/// How many commands are taken from the queue at once.
const BATCH: usize = 256;

/// How many calls of a script are made with one command, and how many bytes of them, beyond the
/// last call.
const MAX_PARTS: usize = 64;
const MAX_PARTS_LEN: usize = 256 << 10;

/// No further commands are taken while so many bytes wait to be written.
const MAX_UNWRITTEN: usize = 1 << 20;

/// How much is read at once, in bytes.
const READ: usize = 64 << 10;

/// How often the connection is looked after.
const TICK: Duration = Duration::from_millis(250);

/// A handle to a connection. When the last is dropped, the connection is closed after the answers
/// that are still due.
#[derive(Clone, Debug)]
pub(crate) struct Pipe {
    requests: mpsc::Sender<Request>,
    server: Arc<str>,
    response_timeout: Duration,
}

/// What is to be done at a server.
#[derive(Clone, Debug)]
pub(crate) enum Work {
    Command(Arc<Command>),
    /// A call of a script that may be made together with others.
    Part(Part),
}

type Answer = oneshot::Sender<Result<Reply>>;

struct Request {
    work: Work,
    answer: Answer,
    limit: Duration,
}

impl Pipe {
    /// Starts to drive `stream`, on the current runtime.
    pub(crate) fn start(
        stream: Box<dyn Stream>,
        server: &Arc<str>,
        options: &ConnectionOptions,
    ) -> Self {
        let (requests, queue) = mpsc::channel(QUEUE);
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let driver = Driver {
            stream,
            server: Arc::clone(server),
            queue,
            requests: Vec::with_capacity(BATCH),
            has_rested: false,
            has_company: true,
            unwritten: BytesMut::new(),
            unread: BytesMut::with_capacity(READ),
            due: VecDeque::new(),
            now: Instant::now(),
            last_use: Instant::now(),
            ticks,
            keepalive: options.keepalive,
            ping_timeout: options.response_timeout,
            closing: false,
        };
        tokio::spawn(driver.run());
        Self {
            requests,
            server: Arc::clone(server),
            response_timeout: options.response_timeout,
        }
    }

    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.requests.same_channel(&other.requests)
    }

    pub(crate) fn is_alive(&self) -> bool {
        !self.requests.is_closed()
    }

    /// Sends a command, or has it sent with others, and waits for the answer.
    ///
    /// `Err(Unsent)` if the connection was over before the command was taken: it can be sent
    /// elsewhere.
    pub(crate) async fn call(&self, work: &Work) -> Result<Result<Reply>, Unsent> {
        let (answer, answered) = oneshot::channel();
        let request = Request {
            work: work.clone(),
            answer,
            limit: self.response_timeout,
        };
        if self.requests.send(request).await.is_err() {
            return Err(Unsent);
        }
        Ok(answered.await.unwrap_or_else(|_| {
            Err(Error::Lost {
                server: Arc::clone(&self.server),
            })
        }))
    }

    /// Sends several commands and waits for all answers.
    pub(crate) async fn call_all(&self, commands: Vec<Arc<Command>>) -> Result<Vec<Reply>> {
        let lost = || Error::Lost {
            server: Arc::clone(&self.server),
        };
        let mut answers = Vec::with_capacity(commands.len());
        for command in commands {
            let (answer, answered) = oneshot::channel();
            let request = Request {
                work: Work::Command(command),
                answer,
                limit: self.response_timeout,
            };
            self.requests.send(request).await.map_err(|_| lost())?;
            answers.push(answered);
        }
        let mut replies = Vec::with_capacity(answers.len());
        for answered in answers {
            replies.push(answered.await.unwrap_or_else(|_| Err(lost()))?);
        }
        Ok(replies)
    }
}

/// A command that never left.
#[derive(Debug)]
pub(crate) struct Unsent;

/// A command that was taken over and not answered yet.
struct Due {
    answers: Answers,
    since: Instant,
    limit: Duration,
}

/// Who waits for the answer to a command.
enum Answers {
    Nobody,
    One(Answer),
    /// The callers whose parts it was made of.
    Parts(Vec<Answer>),
}

impl Answers {
    fn fail(self, error: &Error) {
        match self {
            Self::Nobody => {}
            Self::One(answer) => drop(answer.send(Err(error.clone()))),
            Self::Parts(answers) => {
                for answer in answers {
                    drop(answer.send(Err(error.clone())));
                }
            }
        }
    }
}

struct Driver {
    stream: Box<dyn Stream>,
    server: Arc<str>,
    queue: mpsc::Receiver<Request>,
    /// What was taken and not written yet.
    requests: Vec<Request>,
    /// Others have had their turn since the first of them was taken.
    has_rested: bool,
    /// The last ones had company, so that it is worth waiting for others. A caller who is alone
    /// would pay for a turn in which nothing comes, and the wake-up of a thread.
    has_company: bool,
    unwritten: BytesMut,
    unread: BytesMut,
    due: VecDeque<Due>,
    now: Instant,
    last_use: Instant,
    ticks: Interval,
    keepalive: Duration,
    ping_timeout: Duration,
    /// No caller is left.
    closing: bool,
}

impl Driver {
    async fn run(mut self) {
        let end = poll_fn(|context| self.poll(context)).await;
        self.queue.close();
        if let Err(error) = end {
            if !(self.closing && self.due.is_empty()) {
                tracing::warn!(
                    server = %self.server,
                    unanswered = self.due.len(),
                    error = &error as &dyn std::error::Error,
                    "lost a connection to Redis",
                );
            }
            for due in self.due.drain(..) {
                due.answers.fail(&error);
            }
            for request in self.requests.drain(..) {
                drop(request.answer.send(Err(error.clone())));
            }
        }
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<()>> {
        self.now = Instant::now();
        loop {
            let mut progress = self.take_requests(context);
            progress |= self.write(context)?;
            progress |= self.read(context)?;
            while self.ticks.poll_tick(context).is_ready() {
                self.tick()?;
                progress = true;
            }
            if self.closing
                && self.requests.is_empty()
                && self.due.is_empty()
                && self.unwritten.is_empty()
            {
                return Poll::Ready(Ok(()));
            }
            if !progress {
                return Poll::Pending;
            }
        }
    }

    /// Takes what callers want, after others on this thread have had their turn, so that what they
    /// want goes out with it.
    fn take_requests(&mut self, context: &mut Context<'_>) -> bool {
        if self.unwritten.len() >= MAX_UNWRITTEN {
            return false;
        }
        let room = BATCH - self.requests.len();
        if room > 0 && !self.closing {
            let taken = self.queue.poll_recv_many(context, &mut self.requests, room);
            self.closing = taken == Poll::Ready(0);
        }
        if self.requests.is_empty() {
            return false;
        }
        let is_alone = !self.has_company && self.requests.len() == 1 && self.due.is_empty();
        if !is_alone && !std::mem::replace(&mut self.has_rested, true) {
            context.waker().wake_by_ref();
            return false;
        }
        self.has_rested = false;
        self.has_company = self.requests.len() > 1 || !self.due.is_empty();
        self.last_use = self.now;
        self.encode_requests();
        true
    }

    fn encode_requests(&mut self) {
        let mut requests = std::mem::take(&mut self.requests);
        let mut waiting = requests.drain(..).peekable();
        while let Some(Request {
            work,
            answer,
            limit,
        }) = waiting.next()
        {
            let answers = match work {
                Work::Command(command) => {
                    command.write(&mut self.unwritten);
                    Answers::One(answer)
                }
                Work::Part(part) => {
                    let mut size = part.len();
                    let (mut parts, mut answers) = (vec![part], vec![answer]);
                    while parts.len() < MAX_PARTS && size < MAX_PARTS_LEN {
                        let next = waiting.next_if(|request| match &request.work {
                            Work::Part(part) => part.goes_with(&parts[0]),
                            Work::Command(_) => false,
                        });
                        let Some(Request {
                            work: Work::Part(part),
                            answer,
                            ..
                        }) = next
                        else {
                            break;
                        };
                        size += part.len();
                        parts.push(part);
                        answers.push(answer);
                    }
                    batch::write(&parts, &mut self.unwritten);
                    Answers::Parts(answers)
                }
            };
            self.due.push_back(Due {
                answers,
                since: self.now,
                limit,
            });
        }
        drop(waiting);
        // Keeps its room.
        self.requests = requests;
    }

    fn write(&mut self, context: &mut Context<'_>) -> Result<bool> {
        let mut progress = false;
        while !self.unwritten.is_empty() {
            let stream = Pin::new(&mut self.stream);
            match stream.poll_write(context, &self.unwritten) {
                Poll::Ready(Ok(0) | Err(_)) => return Err(self.lost()),
                Poll::Ready(Ok(written)) => {
                    self.unwritten.advance(written);
                    progress = true;
                }
                Poll::Pending => return Ok(progress),
            }
        }
        if progress {
            // TLS may hold back what it was given.
            if let Poll::Ready(Err(_)) = Pin::new(&mut self.stream).poll_flush(context) {
                return Err(self.lost());
            }
        }
        Ok(progress)
    }

    fn read(&mut self, context: &mut Context<'_>) -> Result<bool> {
        let mut progress = false;
        while let Poll::Ready(more) = self.poll_read(context) {
            if !more? {
                return Err(self.lost());
            }
            progress = true;
            loop {
                let reply = resp::read(&mut self.unread)
                    .map_err(|reason| Error::protocol(&self.server, reason))?;
                match reply {
                    Some(reply) => self.answer(reply)?,
                    None => break,
                }
            }
        }
        Ok(progress)
    }

    /// Whether the connection is still open at the other end.
    fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<Result<bool>> {
        self.unread.reserve(READ);
        let stream = Pin::new(&mut self.stream);
        match ready!(poll_read_buf(stream, context, &mut self.unread)) {
            Ok(read) => Poll::Ready(Ok(read > 0)),
            Err(_) => Poll::Ready(Err(self.lost())),
        }
    }

    fn answer(&mut self, reply: Reply) -> Result<()> {
        self.last_use = self.now;
        let Some(due) = self.due.pop_front() else {
            return Err(Error::protocol(&self.server, "an answer to nothing"));
        };
        // Time that the command spent behind others is not held against it.
        if let Some(next) = self.due.front_mut() {
            next.since = self.now;
        }
        match (due.answers, reply) {
            (Answers::Nobody, _) => {}
            (Answers::One(answer), reply) => drop(answer.send(reply.or_refusal(&self.server))),
            (Answers::Parts(answers), Reply::Array(replies)) if answers.len() == replies.len() => {
                for (answer, reply) in answers.into_iter().zip(replies) {
                    drop(answer.send(reply.or_refusal(&self.server)));
                }
            }
            (parts @ Answers::Parts(_), reply) => match reply.or_refusal(&self.server) {
                Err(error) => parts.fail(&error),
                Ok(_) => {
                    let reason = "an answer to several calls is not one for each";
                    parts.fail(&Error::protocol(&self.server, reason));
                }
            },
        }
        Ok(())
    }

    /// Gives up a connection that does not answer, and checks one that was silent.
    fn tick(&mut self) -> Result<()> {
        self.now = Instant::now();
        match self.due.front() {
            Some(due) if self.now.duration_since(due.since) > due.limit => Err(Error::Timeout {
                server: Arc::clone(&self.server),
                limit: due.limit,
            }),
            None if self.now.duration_since(self.last_use) >= self.keepalive => {
                Command::new("PING").write(&mut self.unwritten);
                self.due.push_back(Due {
                    answers: Answers::Nobody,
                    since: self.now,
                    limit: self.ping_timeout,
                });
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn lost(&self) -> Error {
        Error::Lost {
            server: Arc::clone(&self.server),
        }
    }
}
