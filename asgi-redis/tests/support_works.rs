//! The servers and the network the other tests rely on.

mod support;

use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;

use asgiref::message;
use serde_json::json;
use support::block_until;
use support::cluster::Cluster;
use support::pair::ORIGINAL;
use support::port::free_port;
use support::proxy::FaultProxy;
use support::python::{Python, PythonSite};
use support::resp::{Connection, Reply};
use support::sentinel::Sentinels;
use support::server::{RedisOptions, RedisServer};

#[test]
fn a_restarted_server_is_on_the_same_port_and_empty() {
    let mut server = RedisServer::start();
    let port = server.port();
    server.command(&["SET", "key", "value"]);
    server.restart();
    assert_eq!(server.port(), port);
    assert_eq!(server.command(&["GET", "key"]), Reply::Nil);
}

#[test]
fn a_persistent_server_comes_back_with_its_data() {
    let mut server = RedisOptions::new().persistent().start();
    server.command(&["SET", "key", "value"]);
    server.restart();
    assert_eq!(server.command(&["GET", "key"]).bytes(), b"value");
}

#[test]
fn a_server_ends_with_its_value() {
    let server = RedisServer::start();
    let port = server.port();
    drop(server);
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
}

#[test]
fn a_server_with_tls_has_a_port_for_it() {
    let server = RedisOptions::new().tls().start();
    assert!(server.tls_url().starts_with("rediss://"));
    assert!(server.certificate().authority.is_file());
    assert!(server.socket().exists());
}

#[test]
fn a_proxy_passes_holds_and_cuts() {
    let server = RedisServer::start();
    let proxy = FaultProxy::start(server.port());
    let mut through = Connection::open(proxy.port()).expect("the proxy accepts");
    assert_eq!(through.call(&["SET", "key", "1"]).unwrap().bytes(), b"OK");
    assert_eq!(proxy.connections(), 1);

    proxy.hold_replies();
    let asked = std::thread::spawn(move || {
        let reply = through.call(&["INCR", "key"]);
        (through, reply)
    });
    block_until("the request to arrive", || {
        server.command(&["GET", "key"]).bytes() == b"2"
    });
    assert!(!asked.is_finished());
    proxy.pass();
    let (mut through, reply) = asked.join().expect("no panic");
    assert_eq!(reply.unwrap().int(), 2);

    proxy.blackhole();
    let asked = std::thread::spawn(move || through.call(&["INCR", "key"]));
    proxy.cut();
    assert!(asked.join().expect("no panic").is_err());
    assert_eq!(server.command(&["GET", "key"]).bytes(), b"2");

    proxy.refuse();
    let refused = Connection::open(proxy.port()).and_then(|mut new| new.call(&["PING"]));
    assert!(refused.is_err());
}

#[test]
fn sentinels_fail_over_when_asked() {
    let sentinels = Sentinels::start(&["alpha"]);
    let first = sentinels.master("alpha").port();
    sentinels.fail_over("alpha");
    let second = sentinels.master("alpha").port();
    assert_ne!(first, second);
}

#[test]
fn three_nodes_are_a_cluster() {
    let cluster = Cluster::start();
    let slot = |key| {
        cluster.nodes()[0]
            .command(&["CLUSTER", "KEYSLOT", key])
            .int()
    };
    assert_eq!(slot("{a}1"), slot("{a}2"));
    assert_eq!(cluster.urls().len(), 3);
}

#[test]
fn the_python_originals_answer() {
    let server = RedisServer::start();
    let python = Python::start(&ORIGINAL);
    let layer = python.layer(&json!({"hosts": [server.url()], "capacity": 1}));
    let message = message! { "number" => 7, "bytes" => b"\x00\xff" };
    layer.send("somewhere", &message).expect("there is room");
    let refused = layer
        .send("somewhere", &message)
        .expect_err("there is no room");
    assert_eq!(refused.class, "ChannelFull");
    let received = layer.try_receive(&["somewhere"]).expect("no exception");
    assert_eq!(received, Some(("somewhere".to_owned(), message)));
    assert_eq!(layer.receive(&["somewhere"]), Ok(None));
}

#[test]
fn the_site_of_the_python_originals_answers() {
    let server = RedisServer::start();
    let site = PythonSite::new(ORIGINAL, json!({"hosts": [server.url()]}));
    let port = free_port();
    let _daphne = site.daphne(port);
    let _worker = site.worker();
    let mut answer = String::new();
    block_until("an answer", || {
        answer = get(port, "/hello").unwrap_or_default();
        !answer.is_empty()
    });
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.contains("Hello world!"), "{answer}");
}

fn get(port: u16, path: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}
