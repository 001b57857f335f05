//! A template that anybody could have written, filled with what anybody could
//! have sent.
#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::{Map, Value};
use tidegate_text::template::{Library, PromptLayer, PromptSource, RenderWish};

fuzz_target!(|input: (String, String, Vec<String>, u8)| {
    let (text, question, items, budget) = input;
    // A string of JSON is one of TOML, but for what TOML has no escape for.
    let text = Value::from(text.replace('\u{7f}', " ")).to_string();
    let pack = format!(
        "[prompt]\nname = \"own\"\nversion = \"1\"\ndescription = \"d\"\nrole = \"r\"\n\
         instructions = \"i\"\n[[parameters]]\nname = \"q\"\ntype = \"string\"\n\
         description = \"d\"\n[[parameters]]\nname = \"xs\"\ntype = \"list\"\n\
         description = \"d\"\n[[context]]\nname = \"xs\"\n[[messages]]\nrole = \"user\"\n\
         text = {text}\n[[messages]]\nrole = \"user\"\n\
         text = \"{{{{ data_rule }}}} {{% if context.xs %}}{{{{ context.xs }}}}{{% endif %}}\"\n\
         [[tests]]\nname = \"t\"\n"
    );
    let source = PromptSource {
        layer: PromptLayer::Core,
        name: "own.toml",
        text: &pack,
    };
    let Ok(library) = Library::of(&[source], &[]) else {
        return;
    };
    let mut parameters = Map::new();
    parameters.insert("q".to_owned(), question.into());
    parameters.insert("xs".to_owned(), items.into());
    let budget_tokens = Some(u64::from(budget));
    let wish = RenderWish {
        parameters,
        budget_tokens,
        ..RenderWish::default()
    };
    if let Ok(rendered) = library.render("own", &wish) {
        assert!(rendered.tokens <= u64::from(budget));
    }
});
