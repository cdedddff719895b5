//! Close codes (RFC 6455, section 7.4.1, and its registry).

use tokio_tungstenite::tungstenite::Error as WsError;
use tokio_tungstenite::tungstenite::error::ProtocolError;

pub(super) const GOING_AWAY: u16 = 1001;
pub(super) const PROTOCOL_ERROR: u16 = 1002;
pub(super) const NO_CODE: u16 = 1005;
pub(super) const INVALID_DATA: u16 = 1007;
pub(super) const TOO_BIG: u16 = 1009;
pub(super) const INTERNAL_ERROR: u16 = 1011;
pub(super) const TRY_AGAIN_LATER: u16 = 1013;

/// The code that tells a client how it broke the rules; `None` if it did not, but the connection
/// is over all the same.
pub(super) const fn of_failure(failure: &WsError) -> Option<u16> {
    match failure {
        WsError::Capacity(_) => Some(TOO_BIG),
        WsError::Utf8(_) => Some(INVALID_DATA),
        WsError::Protocol(
            ProtocolError::ResetWithoutClosingHandshake | ProtocolError::SendAfterClosing,
        ) => None,
        WsError::Protocol(_) => Some(PROTOCOL_ERROR),
        _ => None,
    }
}
