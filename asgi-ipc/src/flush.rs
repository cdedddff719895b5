//! The flush extension.

use asgiref::{Flush, Result};
use async_trait::async_trait;

use crate::layer::IpcChannelLayer;

#[async_trait]
impl Flush for IpcChannelLayer {
    async fn flush(&self) -> Result<()> {
        Ok(self.shared.run(|locked| locked.flush())?)
    }
}
