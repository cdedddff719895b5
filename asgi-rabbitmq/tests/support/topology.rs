//! What is declared in a virtual host.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::Value as Json;

use super::broker::Broker;

/// The queues, exchanges and bindings of a virtual host, without those the broker makes itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Topology {
    pub queues: BTreeMap<String, Queue>,
    pub exchanges: BTreeMap<String, Exchange>,
    pub bindings: BTreeSet<Binding>,
}

#[derive(Clone, Debug, Deserialize, PartialEq)]
pub struct Queue {
    name: String,
    pub durable: bool,
    pub auto_delete: bool,
    pub exclusive: bool,
    pub arguments: BTreeMap<String, Json>,
    /// Those that nobody has been given.
    pub ready: u64,
    /// Those that somebody has been given and not acknowledged.
    pub unacknowledged: u64,
    pub consumers: u64,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub struct Exchange {
    name: String,
    #[serde(rename = "type")]
    pub kind: String,
    pub durable: bool,
    pub auto_delete: bool,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
pub struct Binding {
    pub source: String,
    /// `queue` or `exchange`.
    pub kind: String,
    pub destination: String,
    pub routing_key: String,
}

impl Binding {
    /// Of a queue to an exchange.
    pub fn queue(source: &str, destination: &str, routing_key: &str) -> Self {
        Self::new(source, "queue", destination, routing_key)
    }

    /// Of an exchange to an exchange.
    pub fn exchange(source: &str, destination: &str, routing_key: &str) -> Self {
        Self::new(source, "exchange", destination, routing_key)
    }

    fn new(source: &str, kind: &str, destination: &str, routing_key: &str) -> Self {
        let [source, kind, destination, routing_key] =
            [source, kind, destination, routing_key].map(str::to_owned);
        Self {
            source,
            kind,
            destination,
            routing_key,
        }
    }
}

impl Topology {
    /// As it is now.
    pub fn of(broker: &Broker, virtual_host: &str) -> Self {
        let queues: Vec<Queue> = parse(broker, QUEUES, virtual_host);
        let exchanges: Vec<Exchange> = parse(broker, EXCHANGES, virtual_host);
        let bindings: Vec<Binding> = parse(broker, BINDINGS, virtual_host);
        let declared = |name: &str| !name.is_empty() && !name.starts_with("amq.");
        Self {
            queues: queues
                .into_iter()
                .map(|queue| (queue.name.clone(), queue))
                .collect(),
            exchanges: exchanges
                .into_iter()
                .filter(|exchange| declared(&exchange.name))
                .map(|exchange| (exchange.name.clone(), exchange))
                .collect(),
            bindings: bindings
                .into_iter()
                .filter(|binding| declared(&binding.source))
                .collect(),
        }
    }

    /// The queue of this name, which must be there.
    #[track_caller]
    pub fn queue(&self, name: &str) -> &Queue {
        let queue = self.queues.get(name);
        queue.unwrap_or_else(|| panic!("there is no queue {name}: {:?}", self.queues.keys()))
    }

    /// How many messages are in the queue of this name; none if it is not there.
    pub fn messages(&self, name: &str) -> u64 {
        let queue = self.queues.get(name);
        queue.map_or(0, |queue| queue.ready + queue.unacknowledged)
    }
}

fn parse<T: serde::de::DeserializeOwned>(
    broker: &Broker,
    expressions: &str,
    virtual_host: &str,
) -> Vec<T> {
    let host = format!("<<\"{virtual_host}\">>");
    let value = broker.evaluate(&expressions.replace("HOST", &host));
    serde_json::from_value(value).expect("what was asked for")
}

/// A queue that ends meanwhile has nothing to say.
const QUEUES: &str = r#"
    Items = [durable, auto_delete, exclusive, arguments,
             messages_ready, messages_unacknowledged, consumers],
    Arguments = fun(Table) -> maps:from_list([{Key, Value} || {Key, _, Value} <- Table]) end,
    Info = fun(Queue) ->
        {resource, _, _, Name} = amqqueue:get_name(Queue),
        try maps:from_list(rabbit_amqqueue:info(Queue, Items)) of
            #{durable := Durable, auto_delete := AutoDelete, exclusive := Exclusive,
              arguments := Table, messages_ready := Ready,
              messages_unacknowledged := Unacknowledged, consumers := Consumers} ->
                [#{name => Name, durable => Durable, auto_delete => AutoDelete,
                   exclusive => Exclusive, arguments => Arguments(Table), ready => Ready,
                   unacknowledged => Unacknowledged, consumers => Consumers}]
        catch _:_ -> []
        end
    end,
    lists:flatmap(Info, rabbit_amqqueue:list(HOST))
"#;

const EXCHANGES: &str = r#"
    [begin
        #{name := {resource, _, _, Name}, type := Type, durable := Durable,
          auto_delete := AutoDelete} = maps:from_list(rabbit_exchange:info(Exchange)),
        #{name => Name, type => Type, durable => Durable, auto_delete => AutoDelete}
    end || Exchange <- rabbit_exchange:list(HOST)]
"#;

const BINDINGS: &str = r#"
    [begin
        #{source_name := Source, destination_name := Destination,
          destination_kind := Kind, routing_key := Key} = maps:from_list(Info),
        #{source => Source, kind => Kind, destination => Destination, routing_key => Key}
    end || Info <- rabbit_binding:info_all(HOST)]
"#;
