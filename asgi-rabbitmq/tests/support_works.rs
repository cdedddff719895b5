//! The brokers the other tests rely on.

mod support;

use std::net::TcpStream;

use serde_json::json;
use support::broker::{Broker, BrokerOptions};
use support::cluster::Cluster;
use support::control::Control;

#[test]
fn a_restarted_broker_is_on_the_same_port_and_keeps_its_virtual_hosts() {
    let mut broker = Broker::start();
    let name = broker.virtual_host();
    let port = broker.port();
    broker.kill();
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
    broker.start_again();
    assert_eq!(broker.port(), port);
    let exists = format!("rabbit_vhost:exists(<<\"{name}\">>)");
    assert_eq!(broker.evaluate(&exists), json!(true));
}

#[test]
fn virtual_hosts_are_not_shared() {
    let broker = Broker::shared();
    let names = [broker.virtual_host(), broker.virtual_host()];
    assert_ne!(names[0], names[1]);
    for name in names {
        let queues = format!("length(rabbit_amqqueue:list(<<\"{name}\">>))");
        assert_eq!(broker.evaluate(&queues), json!(0));
    }
}

#[test]
fn what_fails_in_erlang_is_told() {
    let broker = Broker::shared();
    let control = Control::shared();
    let error = control.evaluate(broker.node(), "1 = 2");
    assert!(error.expect_err("it fails").contains("badmatch"));
    assert!(control.evaluate("nobody@localhost", "1").is_err());
    assert_eq!(broker.evaluate("1 + 1"), json!(2));
}

#[test]
fn three_nodes_are_a_cluster() {
    let mut cluster = Cluster::start();
    let name = cluster.virtual_host();
    for node in cluster.nodes() {
        let exists = format!("rabbit_vhost:exists(<<\"{name}\">>)");
        assert_eq!(node.evaluate(&exists), json!(true));
    }
    cluster.nodes_mut()[1].kill();
    cluster.nodes_mut()[1].start_again();
    cluster.expect_complete();
}

#[test]
fn a_broker_may_speak_tls() {
    let broker = BrokerOptions::new().tls().start();
    assert!(TcpStream::connect(("127.0.0.1", broker.tls_port())).is_ok());
}
