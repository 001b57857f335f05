//! Prompts that the gate keeps: which there are, and what comes of them.

use tidegate_provider::Opening;
use tidegate_text::template::{Library, RenderWish, Rendered};

use crate::assemble::Engine;
use crate::error::EngineError;
use crate::guard::on_pool;

impl Engine {
    /// The prompts and frameworks of this revision.
    pub fn library(&self) -> &Library {
        &self.rooms.library
    }

    /// Renders a prompt.
    ///
    /// # Errors
    /// [`EngineError::Prompt`] says what is wrong with the request;
    /// [`EngineError::Busy`] when the CPU pool is full.
    pub async fn render(&self, name: &str, wish: RenderWish) -> Result<Rendered, EngineError> {
        // Whoever names what is not there does not wait for a place.
        self.rooms.library.prompt(name)?;
        let (library, name) = (self.rooms.library.clone(), name.to_owned());
        let rendered = on_pool(&self.rooms.pool, move || library.render(&name, &wish));
        Ok(rendered.await??)
    }
}

/// The messages as they stand before those of a request.
pub fn openings(rendered: &Rendered) -> Vec<Opening> {
    let opening = |message: &tidegate_text::template::RenderedMessage| Opening {
        role: message.role.as_str(),
        content: message.text.clone(),
    };
    rendered.messages.iter().map(opening).collect()
}
