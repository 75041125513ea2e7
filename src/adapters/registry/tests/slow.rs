//! Peers that are silent or slow.

use std::{
    io::{Read as _, Write as _},
    net::{Shutdown, TcpListener, TcpStream},
    thread,
    time::Instant,
};

use super::{fake::Fake, push::Outgoing, *};

/// What a peer does with a connection.
type Peer = fn(TcpStream);

/// How long a peer goes on with what it does.
const LONG: Duration = Duration::from_secs(5);

const PATIENCE: fn() -> Patience = || Patience {
    attempts: 2,
    stall: Duration::from_millis(300),
    whole: Duration::from_millis(900),
    ..hasty()
};

/// Returns the address of a peer. Its threads end with the test's process.
fn peer(behaviour: Peer) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            thread::spawn(move || behaviour(stream));
        }
    });
    address
}

fn client_of_patience() -> RegistryClient {
    let settings = RegistrySettings::default();
    RegistryClient::with_patience(settings, Credentials::default(), PATIENCE()).unwrap()
}

/// Writes one byte after the other, each well within the time for a stall.
fn trickle(stream: &mut TcpStream, bytes: impl Iterator<Item = u8>) {
    let begun = Instant::now();
    for byte in bytes {
        if begun.elapsed() > LONG || stream.write_all(&[byte]).is_err() {
            return;
        }
        thread::sleep(Duration::from_millis(50));
    }
}

/// Reads the head of a request.
fn head(stream: &mut TcpStream) {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && stream.read_exact(&mut byte).is_ok() {
        head.push(byte[0]);
    }
}

fn answer(stream: &mut TcpStream, bytes: &[u8]) {
    head(stream);
    let _ = stream.write_all(bytes);
}

const TEN: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n";

#[test]
fn a_peer_that_is_silent_or_never_ends_is_given_up() {
    let peers: [(&str, Peer); 8] = [
        ("silence", |_stream| thread::sleep(LONG)),
        ("a request that is read, and silence", |mut stream| {
            head(&mut stream);
            thread::sleep(LONG);
        }),
        ("half a head", |mut stream| {
            answer(&mut stream, b"HTTP/1.1 200 OK\r\nContent-");
            thread::sleep(LONG);
        }),
        ("a head without an end", |mut stream| {
            answer(&mut stream, b"HTTP/1.1 200 OK\r\nX: ");
            trickle(&mut stream, std::iter::repeat(b'x'));
        }),
        ("a head without a body", |mut stream| {
            answer(&mut stream, TEN);
            thread::sleep(LONG);
        }),
        ("half a body", |mut stream| {
            answer(&mut stream, TEN);
            let _ = stream.write_all(b"12345");
            thread::sleep(LONG);
        }),
        ("a body without an end", |mut stream| {
            answer(
                &mut stream,
                b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n",
            );
            trickle(&mut stream, std::iter::repeat(b'x'));
        }),
        ("a connection that is closed halfway", |stream| {
            let _ = stream.shutdown(Shutdown::Write);
            thread::sleep(LONG);
        }),
    ];
    thread::scope(|scope| {
        for (what, behaviour) in peers {
            scope.spawn(move || {
                let reference = format!("{}/a/b:t", peer(behaviour)).parse().unwrap();
                let begun = Instant::now();
                let found = client_of_patience().find(&reference, &Platform::default());
                let error = found.unwrap_err();
                assert_eq!(error.code(), "E501", "{what}: {error}");
                let limit = 2 * (PATIENCE().whole + PATIENCE().stall);
                assert!(begun.elapsed() < limit, "{what}: {:?}", begun.elapsed());
            });
        }
    });
}

#[test]
fn a_peer_that_takes_no_bytes_is_given_up() {
    let peers: [(&str, Peer); 2] = [
        // Its window is full after the first megabytes.
        ("an upload that is not read", |mut stream| {
            let mut first = [0; 4];
            let _ = stream.peek(&mut first);
            if first == *b"PUT " {
                thread::sleep(LONG);
            }
            let location = "Location: /v2/a/b/blobs/up/1\r\n";
            let text = match &first {
                b"POST" => format!(
                    "HTTP/1.1 202 X\r\nContent-Length: 0\r\nConnection: close\r\n{location}\r\n"
                ),
                _ => "HTTP/1.1 404 X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".to_owned(),
            };
            answer(&mut stream, text.as_bytes());
        }),
        ("an upload that is not begun", |mut stream| {
            let mut first = [0; 4];
            let _ = stream.peek(&mut first);
            if first == *b"POST" {
                thread::sleep(LONG);
            }
            answer(
                &mut stream,
                b"HTTP/1.1 404 X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            );
        }),
    ];
    for (what, behaviour) in peers {
        let reference = format!("{}/a/b:t", peer(behaviour)).parse().unwrap();
        let begun = Instant::now();
        let image = Outgoing::new(&[32 << 20]);
        let error = image.push(&client_of_patience(), &reference).unwrap_err();
        assert_eq!(error.code(), "E501", "{what}: {error}");
        assert!(begun.elapsed() < LONG, "{what}: {:?}", begun.elapsed());
    }
}

#[test]
fn a_slow_answer_that_moves_is_waited_for() {
    let sample = Sample::new("amd64");
    let whole = Fake::holding(&sample, |_, _| None);
    let reference = whole.reference("a/b:t");
    let straight = client_of_patience().find(&reference, &Platform::default());
    let straight = straight.unwrap().unwrap();
    // The same through a slow line: pieces with pauses that are longer together than the time for a stall.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let host = whole.host.clone();
    thread::spawn(move || {
        for mut near in listener.incoming().map_while(Result::ok) {
            let mut far = TcpStream::connect(&host).unwrap();
            let mut request = far.try_clone().unwrap();
            let mut from = near.try_clone().unwrap();
            thread::spawn(move || std::io::copy(&mut from, &mut request));
            thread::spawn(move || {
                let mut bytes = Vec::new();
                let _ = far.read_to_end(&mut bytes);
                for piece in bytes.chunks(bytes.len() / 5 + 1) {
                    thread::sleep(Duration::from_millis(100));
                    let _ = near.write_all(piece);
                }
            });
        }
    });
    let begun = Instant::now();
    let slow = format!("{address}/a/b:t").parse().unwrap();
    let slow = client_of_patience().find(&slow, &Platform::default());
    assert_eq!(slow.unwrap().unwrap().digest, straight.digest);
    assert!(begun.elapsed() > PATIENCE().stall);
}
