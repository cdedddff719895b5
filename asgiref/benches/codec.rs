//! The codec on an HTTP request and on a large body, next to copying the same bytes.
//!
//! `cargo bench -p asgiref --bench codec`. For information: no figure is promised.

use std::hint::black_box;
use std::time::Duration;

use asgiref::codec::Codec;
use asgiref::{Bytes, ChannelName, Message, message};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

/// What a browser sends for a page.
fn request() -> Message {
    let headers: &[(&str, &str)] = &[
        ("host", "www.example.com"),
        (
            "user-agent",
            "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
        ),
        (
            "accept",
            "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
        ),
        ("accept-language", "en-GB,en;q=0.5"),
        ("accept-encoding", "gzip, deflate, br"),
        ("connection", "keep-alive"),
        (
            "cookie",
            "sessionid=0123456789abcdef0123456789abcdef; theme=dark",
        ),
        ("upgrade-insecure-requests", "1"),
    ];
    let headers: asgiref::Value = headers
        .iter()
        .map(|(name, value)| [name.as_bytes(), value.as_bytes()].into())
        .collect();
    message! {
        "reply_channel" => "daphne.response.AbCdEfGhIj!KlMnOpQrSt",
        "http_version" => "1.1",
        "method" => "GET",
        "scheme" => "http",
        "path" => "/articles/2017/a-page-of-the-site/",
        "query_string" => b"page=2&order=date",
        "root_path" => "",
        "headers" => headers,
        "body" => b"",
        "client" => [asgiref::Value::from("203.0.113.7"), 50_123.into()],
        "server" => [asgiref::Value::from("192.0.2.1"), 8000.into()],
    }
}

fn body() -> Message {
    message! { "content" => vec![b'x'; 512 * 1024], "more_content" => true }
}

fn codec(criterion: &mut Criterion) {
    let codec = Codec::new();
    let channel = ChannelName::from_static("http.request");
    for (name, message) in [("request", request()), ("512 KiB of body", body())] {
        let bytes = codec.encode(&message).expect("it can be encoded");
        let mut group = criterion.benchmark_group(name);
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        group.bench_function(BenchmarkId::from_parameter("encode"), |bencher| {
            bencher.iter(|| codec.encode_for(&channel, black_box(&message)));
        });
        group.bench_function(BenchmarkId::from_parameter("decode"), |bencher| {
            bencher.iter(|| codec.decode(black_box(bytes.clone())));
        });
        group.bench_function(BenchmarkId::from_parameter("copy"), |bencher| {
            bencher.iter(|| Bytes::copy_from_slice(black_box(&bytes)));
        });
        group.finish();
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(2));
    targets = codec
}
criterion_main!(benches);
