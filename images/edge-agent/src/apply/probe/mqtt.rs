//! One `CONNECT` and its `CONNACK` (MQTT 3.1.1, §3.1 and §3.2). Subscribes to nothing and publishes nothing.

use std::io::{Read, Write};
use std::net::TcpStream;

use super::Login;

/// The client's id; the broker drops an earlier session of it.
const CLIENT: &str = "xedge-agent-probe";
/// Keep-alive in seconds: the connection lives for less.
const KEEP_ALIVE: u16 = 30;

/// Logs in and out again.
pub(super) fn connect(mut stream: TcpStream, login: Option<&Login>) -> Result<(), String> {
    stream.write_all(&packet(login)?).map_err(|error| error.to_string())?;
    let mut answer = [0; 4];
    stream.read_exact(&mut answer).map_err(|error| format!("no CONNACK came: {error}"))?;
    let [0x20, 0x02, _, code] = answer else { return Err("its answer is no CONNACK".to_owned()) };
    // DISCONNECT; the answer has been had, whether or not this arrives.
    stream.write_all(&[0xe0, 0x00]).ok();
    match code {
        0 => Ok(()),
        1 => Err("the broker does not speak MQTT 3.1.1".to_owned()),
        2 => Err("the broker refused the client id".to_owned()),
        3 => Err("the broker says that it is not available".to_owned()),
        4 => Err("the broker refused user and password".to_owned()),
        5 => Err("the broker says that the user may not connect".to_owned()),
        other => Err(format!("the broker refused with {other}")),
    }
}

fn packet(login: Option<&Login>) -> Result<Vec<u8>, String> {
    let mut body = Vec::new();
    text(&mut body, "MQTT")?;
    // Protocol level 4; clean session, and with a login the flags of user name and password.
    body.extend([4, if login.is_some() { 0xc2 } else { 0x02 }]);
    body.extend(KEEP_ALIVE.to_be_bytes());
    text(&mut body, CLIENT)?;
    if let Some(Login { user, password }) = login {
        text(&mut body, user)?;
        text(&mut body, password)?;
    }
    let mut packet = vec![0x10];
    let mut length = body.len();
    loop {
        let low = u8::try_from(length % 128).expect("a remainder of 128 fits in a byte");
        length /= 128;
        packet.push(if length > 0 { low | 0x80 } else { low });
        if length == 0 {
            break;
        }
    }
    packet.extend(body);
    Ok(packet)
}

fn text(body: &mut Vec<u8>, text: &str) -> Result<(), String> {
    let length = u16::try_from(text.len()).map_err(|_| "user or password is too long".to_owned())?;
    body.extend(length.to_be_bytes());
    body.extend(text.as_bytes());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{Login, packet};

    #[test]
    fn a_connect_is_that_of_the_standard() {
        let anonymous = packet(None).unwrap();
        assert_eq!(&anonymous[..12], b"\x10\x1d\x00\x04MQTT\x04\x02\x00\x1e");
        let login = Login { user: "u".to_owned(), password: "p".repeat(120) };
        let long = packet(Some(&login)).unwrap();
        assert_eq!(long[1..3], [0x9a, 0x01], "154 bytes need two of length");
        assert_eq!(long.len(), 3 + 154);
    }
}
