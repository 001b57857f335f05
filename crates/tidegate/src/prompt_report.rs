//! What is said of prompts and frameworks, on every surface alike.

use serde_json::{Value, json};
use tidegate_engine::{Block, Framework, Parameter, ParameterKind, Prompt, Variant};

/// A prompt with everything that callers need to use it.
pub(crate) fn prompt_json(prompt: &Prompt) -> Value {
    let base = prompt.variants.first();
    json!({
        "name": prompt.name,
        "version": prompt.version,
        "description": prompt.description,
        "layer": prompt.layer.as_str(),
        "digest": prompt.digest,
        "parameters": prompt.parameters.iter().map(parameter_json).collect::<Vec<_>>(),
        "context": prompt.context.iter().map(block_json).collect::<Vec<_>>(),
        "variants": prompt.variants.iter().map(variant_json).collect::<Vec<_>>(),
        "output_schema": base.and_then(|base| base.output_schema.clone()),
    })
}

fn parameter_json(parameter: &Parameter) -> Value {
    let mut json = json!({
        "name": parameter.name,
        "type": parameter.kind.as_str(),
        "description": parameter.description,
        "required": parameter.required,
        "default": parameter.default,
        "trusted": parameter.is_trusted,
    });
    for (key, value) in bounds(&parameter.kind) {
        json[key] = value;
    }
    json
}

fn bounds(kind: &ParameterKind) -> Vec<(&'static str, Value)> {
    match kind {
        ParameterKind::String {
            min_length,
            max_length,
        }
        | ParameterKind::List {
            min_length,
            max_length,
        }
        | ParameterKind::Object {
            min_length,
            max_length,
        } => vec![
            ("min_length", json!(min_length)),
            ("max_length", json!(max_length)),
        ],
        ParameterKind::Integer { min, max } => {
            let (least, most) = (*min > i64::MIN, *max < i64::MAX);
            let least = least.then(|| ("min", json!(min)));
            least
                .into_iter()
                .chain(most.then(|| ("max", json!(max))))
                .collect()
        }
        ParameterKind::Number { min, max } => {
            let least = min.is_finite().then(|| ("min", json!(min)));
            let most = max.is_finite().then(|| ("max", json!(max)));
            least.into_iter().chain(most).collect()
        }
        ParameterKind::Enum { values } => vec![("values", json!(values))],
        ParameterKind::Framework { section } => vec![("section", json!(section))],
        ParameterKind::Boolean | ParameterKind::Json => Vec::new(),
    }
}

fn block_json(block: &Block) -> Value {
    json!({
        "name": block.name,
        "parameter": block.parameter,
        "value": block.value,
        "form": block.form.as_str(),
        "keep": block.keep.as_str(),
        "by": block.by,
        "fixed": block.is_fixed,
    })
}

fn variant_json(variant: &Variant) -> Value {
    json!({
        "name": variant.name,
        "share": variant.share.as_ratio(),
        "description": variant.description,
    })
}

/// A framework without its texts.
pub(crate) fn framework_json(framework: &Framework) -> Value {
    let checkpoints = framework.checkpoints.iter();
    let checkpoints = checkpoints.map(|one| json!({"id": one.id, "name": one.name}));
    let sections = framework.sections.iter().map(|section| section.id.as_str());
    json!({
        "id": framework.id,
        "version": framework.version,
        "name": framework.name,
        "description": framework.description,
        "checkpoints": checkpoints.collect::<Vec<_>>(),
        "sections": sections.collect::<Vec<_>>(),
    })
}
