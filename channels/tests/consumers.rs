//! What consumers can be, what they are given, and when what they send is sent.

mod support;

use std::sync::{Arc, Mutex};

use asgiref::protocol::websocket;
use asgiref::{ByteString, ChannelName, GroupName, InMemoryChannelLayer, Message, message};
use channels::{
    ChannelLayers, ConsumerError, Content, Context, Error, ErrorReport, FromMessage, FromRef, Json,
    Middleware, Next, Outcome, Params, ReplyChannel, RouteParams, Router, State, Text, Worker,
    block_on, route, sync,
};
use serde::Deserialize;
use support::{REPLY, consume, drain, frame, layer, name, replies, send, texts, worker};

/// A router with one consumer of WebSocket frames.
fn receive<C, Args>(consumer: C) -> Router
where
    C: channels::Consumer<Args>,
    Args: 'static,
{
    Router::new().route(route(websocket::RECEIVE, consumer))
}

/// The error with which `router` fails on a frame, as it is reported.
async fn failure(router: Router, text: &str) -> String {
    let reported = Arc::new(Mutex::new(None));
    let layer = layer();
    let worker = Worker::builder(layer.clone(), router)
        .on_error({
            let reported = Arc::clone(&reported);
            move |report: &ErrorReport<'_>| {
                let mut text = report.error.to_string();
                let mut source = report.error.error().and_then(std::error::Error::source);
                while let Some(error) = source {
                    text = format!("{text}: {error}");
                    source = error.source();
                }
                *reported.lock().unwrap() = Some(text);
            }
        })
        .build()
        .unwrap();
    send(&*layer, "websocket.receive", frame(text)).await;
    assert!(worker.run_once().await.unwrap());
    assert_eq!(worker.statistics().errors, 1);
    reported.lock().unwrap().take().unwrap()
}

#[tokio::test]
async fn async_functions_are_consumers_with_any_return_type_that_makes_sense() {
    async fn nothing(cx: Context) {
        cx.reply(message! { "text" => "nothing" });
    }
    async fn outcome(cx: Context) -> Outcome {
        cx.reply(message! { "text" => "outcome" });
        Ok(())
    }
    async fn any_error(cx: Context) -> Result<(), std::num::ParseIntError> {
        cx.reply(message! { "text" => "any error" });
        Ok(())
    }
    assert_eq!(texts(&consume(receive(nothing), "x").await), ["nothing"]);
    assert_eq!(texts(&consume(receive(outcome), "x").await), ["outcome"]);
    assert_eq!(
        texts(&consume(receive(any_error), "x").await),
        ["any error"]
    );
    let closure = async |cx: Context| cx.reply(message! { "text" => "closure" });
    assert_eq!(texts(&consume(receive(closure), "x").await), ["closure"]);
}

#[tokio::test]
async fn every_error_can_be_raised_with_a_question_mark() {
    async fn consumer(Text(text): Text) -> Outcome {
        let number: u32 = text.parse()?;
        let _ = GroupName::new(format!("group {number}"))?;
        Ok(())
    }
    assert_eq!(
        failure(receive(consumer), "x").await,
        "invalid digit found in string"
    );
    assert!(
        failure(receive(consumer), "7")
            .await
            .starts_with("invalid group name \"group 7\"")
    );
}

#[tokio::test]
async fn the_context_gives_the_message_and_where_it_came_from() {
    async fn consumer(cx: Context) {
        assert_eq!(*cx.channel_name(), websocket::RECEIVE);
        assert_eq!(cx.message(), &frame("hello"));
        assert_eq!(*cx.reply_channel().unwrap(), name(REPLY));
        assert_eq!(cx.alias(), "default");
        assert_eq!(cx.layer().to_string(), "InMemoryChannelLayer");
        assert_eq!(cx.retries(), 0);
        cx.reply(message! { "text" => "all right" });
    }
    assert_eq!(
        texts(&consume(receive(consumer), "hello").await),
        ["all right"]
    );
}

#[derive(Deserialize)]
struct Point {
    x: i32,
    y: Option<i32>,
}

#[tokio::test]
async fn arguments_are_made_from_the_message() {
    #[expect(clippy::too_many_arguments, reason = "eight is the most there may be")]
    async fn consumer(
        message: Message,
        channel: ChannelName,
        ReplyChannel(reply_channel): ReplyChannel,
        Text(text): Text,
        Json(point): Json<Point>,
        nothing: Option<Params<u32>>,
        layers: ChannelLayers,
        cx: Context,
    ) {
        assert_eq!(&message, cx.message());
        assert_eq!(channel, websocket::RECEIVE);
        assert_eq!(reply_channel, name(REPLY));
        assert!(nothing.is_none());
        assert!(layers.contains("default"));
        assert_eq!((point.x, point.y), (1, None));
        cx.reply(message! { "text" => text });
    }
    let sent = r#"{"x": 1}"#;
    assert_eq!(texts(&consume(receive(consumer), sent).await), [sent]);
}

#[tokio::test]
async fn messages_of_the_protocols_and_of_ones_own_are_read_and_checked() {
    #[derive(Deserialize)]
    struct Own {
        text: String,
        order: u8,
    }
    async fn consumer(
        receive: websocket::Receive,
        frame: websocket::Frame,
        Content(own): Content<Own>,
        none: Option<asgiref::protocol::http::Request>,
        cx: Context,
    ) {
        assert_eq!(receive.path, "/chat/");
        assert_eq!(receive.frame, frame);
        assert_eq!((&*own.text, own.order), ("hello", 1));
        assert!(none.is_none());
        cx.reply(websocket::Reply::frame(frame));
    }
    assert_eq!(texts(&consume(receive(consumer), "hello").await), ["hello"]);

    async fn request(_: asgiref::protocol::http::Request) {}
    let error = failure(receive(request), "x").await;
    assert!(
        error.starts_with("cannot make the argument `http::Request` from the message: message has"),
        "{error}"
    );
}

#[tokio::test]
async fn an_argument_that_cannot_be_made_says_why() {
    async fn json(_: Json<Point>) {}
    let error = failure(receive(json), r#"{"x": "one"}"#).await;
    assert!(
        error.starts_with("cannot make the argument `Json` from the message: invalid type"),
        "{error}"
    );
    async fn params(_: Params<Point>) {}
    let error = failure(receive(params), "x").await;
    assert!(error.contains("missing field `x`"), "{error}");
}

/// What `Params<T>` makes of the captures of `pattern` in the path `/chat/`.
async fn params<T>(pattern: &str) -> Result<T, String>
where
    T: serde::de::DeserializeOwned + Send + Clone + Sync + 'static,
{
    let found: Arc<Mutex<Option<T>>> = Arc::default();
    let store = Arc::clone(&found);
    let consumer = move |Params(value): Params<T>| {
        let store = Arc::clone(&store);
        async move { *store.lock().unwrap() = Some(value) }
    };
    let router = || {
        let consumer = consumer.clone();
        Router::new().route(route(websocket::RECEIVE, consumer).path(pattern))
    };
    consume(router(), "x").await;
    let value = found.lock().unwrap().take();
    match value {
        Some(value) => Ok(value),
        None => Err(failure(router(), "x").await),
    }
}

#[tokio::test]
async fn captures_can_be_had_as_any_type() {
    #[derive(Deserialize, Clone, Debug, PartialEq)]
    struct Struct {
        room: String,
        number: Option<u8>,
    }
    #[derive(Deserialize, Clone, Debug, PartialEq)]
    #[serde(rename_all = "lowercase")]
    enum Kind {
        Chat,
    }
    #[derive(Deserialize, Clone, Debug, PartialEq)]
    struct Room(String);

    let both = r"/(?P<room>c.*)/(?P<number>\d+)?$";
    let expected = Struct {
        room: "chat".to_owned(),
        number: None,
    };
    assert_eq!(params::<Struct>(both).await, Ok(expected));
    let one = "/(?P<room>c.*)/$";
    assert_eq!(params::<String>(one).await.as_deref(), Ok("chat"));
    assert_eq!(params::<Room>(one).await, Ok(Room("chat".to_owned())));
    assert_eq!(params::<Kind>(one).await, Ok(Kind::Chat));
    assert_eq!(
        params::<Option<String>>(one).await,
        Ok(Some("chat".to_owned()))
    );
    let pair = "/(?P<a>c)(?P<b>h)";
    assert_eq!(
        params::<(char, String)>(pair).await,
        Ok(('c', "h".to_owned()))
    );
    assert_eq!(params::<Vec<char>>(pair).await, Ok(vec!['c', 'h']));
    assert_eq!(params::<()>("/").await, Ok(()));
    let map = params::<std::collections::BTreeMap<String, String>>(pair)
        .await
        .unwrap();
    assert_eq!(map["b"], "h");

    let error = params::<u32>(one).await.unwrap_err();
    assert!(
        error.ends_with(r#"what the group `room` captured, "chat", is no u32"#),
        "{error}"
    );
    let error = params::<String>(pair).await.unwrap_err();
    assert!(error.ends_with("a single value needs one named group in the route, but there are 2"));
    let error = params::<(String,)>(pair).await.unwrap_err();
    assert!(
        error.contains("a tuple of 1 needs as many named groups"),
        "{error}"
    );
    let error = params::<(String, u8)>(both).await.unwrap_err();
    assert!(
        error.ends_with("the group `number` took no part in the match"),
        "{error}"
    );
}

#[tokio::test]
async fn captures_can_be_had_by_name() {
    async fn consumer(params: RouteParams, cx: Context) {
        assert_eq!(&params, cx.params());
        cx.reply(message! { "text" => params.get("room").unwrap() });
    }
    let router = Router::new()
        .route(route(websocket::RECEIVE, consumer).path("/(?P<room>[a-z]+)(?P<more>x)?"));
    assert_eq!(texts(&consume(router, "x").await), ["chat"]);
}

#[derive(Clone)]
struct App {
    greeting: &'static str,
}

struct Greeting(&'static str);

impl FromRef<App> for Greeting {
    fn from_ref(app: &App) -> Self {
        Self(app.greeting)
    }
}

#[tokio::test]
async fn state_is_given_once_and_taken_whole_or_in_part() {
    async fn whole(State(app): State<App>, cx: Context) {
        cx.reply(message! { "text" => app.greeting });
    }
    async fn part(State(Greeting(greeting)): State<Greeting>, cx: Context) {
        cx.reply(message! { "text" => greeting });
    }
    async fn other(State(number): State<u8>, cx: Context) {
        cx.reply(message! { "text" => number.to_string() });
    }
    let app = App { greeting: "hello" };
    let router = Router::new()
        .route(route(websocket::RECEIVE, whole).filter("text", "whole"))
        .route(route(websocket::RECEIVE, part).filter("text", "part"))
        .with_state(app);
    let numbers = Router::new()
        .route(route(websocket::RECEIVE, other))
        .with_state(7_u8);
    let router: Router = router.include(numbers);
    assert_eq!(texts(&consume(router.clone(), "whole").await), ["hello"]);
    assert_eq!(texts(&consume(router.clone(), "part").await), ["hello"]);
    assert_eq!(texts(&consume(router, "other").await), ["7"]);
}

#[tokio::test]
async fn arguments_can_be_of_ones_own_making() {
    struct Shouted(String);
    impl<S: Sync> FromMessage<S> for Shouted {
        type Rejection = ConsumerError;
        async fn from_message(cx: &Context, state: &S) -> Result<Self, ConsumerError> {
            let Text(text) = Text::from_message(cx, state).await?;
            Ok(Self(text.to_uppercase()))
        }
    }
    async fn consumer(Shouted(text): Shouted, cx: Context) {
        cx.reply(message! { "text" => text });
    }
    assert_eq!(texts(&consume(receive(consumer), "hey").await), ["HEY"]);
}

#[tokio::test]
async fn plain_functions_are_consumers_and_may_block() {
    let runtime = std::thread::current().id();
    let ws_add = move |cx: Context| -> channels::Result<()> {
        assert_ne!(std::thread::current().id(), runtime);
        block_on(cx.group("chat")?.add(cx.reply_channel()?))?;
        block_on(cx.reply_immediately(message! { "text" => "first" }))?;
        cx.reply(message! { "text" => "held" });
        block_on(cx.reply_immediately(message! { "text" => "second" }))?;
        Ok(())
    };
    let layer = layer();
    send(&*layer, "websocket.receive", frame("x")).await;
    assert!(
        worker(&layer, receive(sync(ws_add)))
            .run_once()
            .await
            .unwrap()
    );
    assert_eq!(texts(&replies(&*layer).await), ["first", "second", "held"]);
    let group = channels::Group::new("chat", layer).unwrap();
    assert_eq!(group.channels().await.unwrap(), [name(REPLY)].into());
}

#[tokio::test]
async fn what_a_consumer_sends_goes_out_in_order_when_it_has_ended() {
    async fn consumer(cx: Context) -> Outcome {
        cx.reply(message! { "text" => "1" });
        cx.channel("client!abc")?.send(message! { "text" => "2" });
        cx.send(&name(REPLY), message! { "text" => "3" });
        cx.group("chat")?.add(cx.reply_channel()?).await?;
        cx.group("chat")?.send(message! { "text" => "4" });
        cx.send_group(&GroupName::new("chat")?, message! { "text" => "5" });
        let nothing = cx.layer().try_receive(&[name("client!")]).await?;
        assert_eq!(nothing, None);
        Ok(())
    }
    assert_eq!(
        texts(&consume(receive(consumer), "x").await),
        ["1", "2", "3", "4", "5"]
    );
}

#[tokio::test]
async fn what_is_sent_immediately_does_not_wait() {
    async fn consumer(cx: Context) -> Outcome {
        cx.reply(message! { "text" => "held" });
        cx.group("chat")?.add(cx.reply_channel()?).await?;
        cx.reply_immediately(message! { "text" => "1" }).await?;
        cx.send_immediately(&name(REPLY), message! { "text" => "2" })
            .await?;
        let channel = cx.channel("client!abc")?;
        channel.send_immediately(message! { "text" => "3" }).await?;
        let group = cx.group("chat")?;
        group.send_immediately(message! { "text" => "4" }).await?;
        group.discard(cx.reply_channel()?).await?;
        group.send(message! { "text" => "nobody hears this" });
        Ok(())
    }
    let replies = consume(receive(consumer), "x").await;
    assert_eq!(texts(&replies), ["1", "2", "3", "4", "held"]);
}

#[tokio::test]
async fn a_message_altered_after_it_was_held_is_sent_as_it_was() {
    async fn consumer(cx: Context) {
        let mut message = message! { "text" => "before" };
        cx.reply(message.clone());
        message.insert("text", "after");
    }
    assert_eq!(texts(&consume(receive(consumer), "x").await), ["before"]);
}

#[tokio::test]
async fn a_received_message_can_be_sent_on_to_sockets_as_it_is() {
    async fn consumer(cx: Context) -> Outcome {
        cx.group("chat")?.add(cx.reply_channel()?).await?;
        cx.group("chat")?.send(cx.message().clone());
        Ok(())
    }
    let replies = consume(receive(consumer), "hello").await;
    let reply = websocket::Reply::try_from(&replies[0]).unwrap();
    let text = ByteString::from_static("hello");
    assert_eq!(reply.frame, Some(websocket::Frame::Text(text)));
}

#[tokio::test]
async fn a_reply_without_a_reply_channel_is_an_error() {
    async fn consumer(cx: Context) {
        cx.reply(message! { "text" => "anybody there?" });
    }
    let layer = layer();
    let worker = worker(&layer, receive(consumer));
    for lost in [message! {}, message! { "reply_channel" => "no name" }] {
        send(&*layer, "websocket.receive", lost).await;
        assert!(worker.run_once().await.unwrap());
    }
    assert_eq!(worker.statistics().errors, 2);
}

#[tokio::test]
async fn layers_are_reached_by_their_alias() {
    async fn consumer(cx: Context) -> Outcome {
        cx.channel_on("other", "jobs")?
            .send(message! { "job" => 1 });
        let group = cx.group_on("other", "listeners")?;
        group.add(&name("listener!x")).await?;
        group.send(message! { "job" => 2 });
        assert_eq!(cx.alias(), "main");
        let error = cx.channel_on("third", "jobs").unwrap_err();
        assert_eq!(
            error.to_string(),
            "no channel layer has the alias \"third\" (known: main, other)"
        );
        Ok(())
    }
    let (main, other) = (layer(), layer());
    let layers = ChannelLayers::default()
        .with("main", main.clone())
        .with("other", other.clone());
    let worker = Worker::builder(main.clone(), receive(consumer))
        .layers(layers, "main")
        .build()
        .unwrap();
    send(&*main, "websocket.receive", frame("x")).await;
    worker.run_once().await.unwrap();
    assert_eq!(worker.statistics().errors, 0);
    assert_eq!(drain(&*main, "jobs").await, []);
    assert_eq!(drain(&*other, "jobs").await, [message! { "job" => 1 }]);
    assert_eq!(drain(&*other, "listener!").await, [message! { "job" => 2 }]);
}

#[tokio::test]
async fn outside_consumers_sends_take_effect_at_once() {
    let layer: Arc<InMemoryChannelLayer> = layer();
    let layers = ChannelLayers::new(layer.clone());
    layers
        .channel("jobs")
        .unwrap()
        .send(message! { "job" => 1 })
        .await
        .unwrap();
    assert_eq!(drain(&*layer, "jobs").await, [message! { "job" => 1 }]);

    let group = layers.group("chat").unwrap();
    group.add(&name(REPLY)).await.unwrap();
    group.send(message! { "text" => "hello" }).await.unwrap();
    assert_eq!(texts(&replies(&*layer).await), ["hello"]);
    group.discard(&name(REPLY)).await.unwrap();
    assert!(group.channels().await.unwrap().is_empty());
    assert!(matches!(layers.channel("not a name"), Err(Error::Layer(_))));
}

#[tokio::test]
async fn middleware_can_attach_values_and_change_the_message() {
    #[derive(Clone)]
    struct User(&'static str);

    struct Login;
    impl Middleware for Login {
        async fn handle(&self, cx: Context, next: Next<'_>) -> Outcome {
            cx.attach(User("anna"));
            let mut message = cx.message().clone();
            message.insert("text", "changed");
            let inner = cx.with_message(message);
            next.run(inner).await?;
            assert_eq!(cx.message().text("text")?, "original");
            Ok(())
        }
    }
    async fn consumer(cx: Context, Text(text): Text) {
        let User(name) = cx.attached().unwrap();
        cx.reply(message! { "text" => format!("{name}: {text}") });
    }
    let router = receive(consumer).with(Login);
    assert_eq!(texts(&consume(router, "original").await), ["anna: changed"]);
}

#[tokio::test]
async fn middleware_can_answer_in_the_place_of_the_consumer() {
    struct Refuse;
    impl Middleware for Refuse {
        async fn handle(&self, cx: Context, _next: Next<'_>) -> Outcome {
            cx.close(4001);
            Ok(())
        }
    }
    async fn consumer() {
        panic!("must not be called");
    }
    let replies = consume(receive(consumer).with(Refuse), "x").await;
    assert_eq!(replies, [message! { "close" => 4001 }]);
}

#[tokio::test]
async fn a_task_that_goes_on_after_its_consumer_can_only_send_immediately() {
    async fn consumer(cx: Context, State(tasks): State<Tasks>) {
        let task = tokio::spawn(async move {
            let mut ended = false;
            while !ended {
                tokio::task::yield_now().await;
                ended = cx
                    .layer()
                    .try_receive(&[name("ended")])
                    .await
                    .unwrap()
                    .is_some();
            }
            cx.reply(message! { "text" => "too late" });
            cx.reply_immediately(message! { "text" => "in time" })
                .await
                .unwrap();
        });
        tasks.lock().unwrap().push(task);
    }
    type Tasks = Arc<Mutex<Vec<tokio::task::JoinHandle<()>>>>;

    let (layer, tasks) = (layer(), Tasks::default());
    let router = Router::new()
        .route(route(websocket::RECEIVE, consumer))
        .with_state(Arc::clone(&tasks));
    send(&*layer, "websocket.receive", frame("x")).await;
    worker(&layer, router).run_once().await.unwrap();
    send(&*layer, "ended", Message::new()).await;
    let task = tasks.lock().unwrap().pop().unwrap();
    task.await.unwrap();
    assert_eq!(texts(&replies(&*layer).await), ["in time"]);
}
