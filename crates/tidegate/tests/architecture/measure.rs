//! Measures one Rust file. Knows syntax, no limit.
//!
//! What only tests compile (`#[cfg(test)]`, `#[test]`) is not measured. Code
//! inside a macro call is a list of tokens to the parser: calls of `unwrap` are
//! found there too, functions are not.

use std::collections::BTreeSet;

use proc_macro2::{Delimiter, Span, TokenStream, TokenTree};
use syn::spanned::Spanned;
use syn::visit::{self, Visit};
use syn::{Attribute, FnArg, ImplItem, Item, Signature, Type};

/// A function or a method with a body, or a method that a trait declares.
pub(crate) struct Function {
    pub(crate) name: String,
    pub(crate) line: usize,
    /// From the signature to the closing brace; none without a body.
    pub(crate) lines: Option<usize>,
    /// With `self`; none where a trait dictates the signature.
    pub(crate) arguments: Option<usize>,
    /// The arguments of type `bool`; empty where a trait dictates the signature.
    pub(crate) bools: Vec<String>,
}

/// A struct and its number of fields.
pub(crate) struct Struct {
    pub(crate) name: String,
    pub(crate) line: usize,
    pub(crate) fields: usize,
}

/// What one file holds outside its tests.
#[derive(Default)]
pub(crate) struct Measures {
    pub(crate) functions: Vec<Function>,
    pub(crate) structs: Vec<Struct>,
    /// The lines that name `unwrap`, as a call or as a function.
    pub(crate) unwraps: BTreeSet<usize>,
    /// All lines but those of tests.
    pub(crate) lines: usize,
}

/// Measures a file, or says where it does not parse.
pub(crate) fn measure(text: &str) -> syn::Result<Measures> {
    let file = syn::parse_file(text)?;
    let mut ruler = Ruler::default();
    if !is_for_tests(&file.attrs) {
        ruler.visit_file(&file);
        let lines = 1..=text.lines().count();
        ruler.measures.lines = lines.filter(|line| !ruler.tests.contains(line)).count();
    }
    Ok(ruler.measures)
}

/// The modules that a file declares as `#[cfg(test)] mod name;`.
pub(crate) fn outline_test_modules(text: &str) -> Vec<String> {
    let items = syn::parse_file(text)
        .map(|file| file.items)
        .unwrap_or_default();
    let modules = items.into_iter().filter_map(|item| match item {
        Item::Mod(module) if module.content.is_none() && is_for_tests(&module.attrs) => {
            Some(module.ident.to_string())
        }
        _ => None,
    });
    modules.collect()
}

/// True for `#[cfg(test)]`, `#[cfg(all(test, …))]`, `#[test]` and `#[x::test]`.
pub(crate) fn is_for_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let path = attribute.path();
        let is_test = path
            .segments
            .last()
            .is_some_and(|last| last.ident == "test");
        is_test || (path.is_ident("cfg") && needs_test(&attribute.meta))
    })
}

fn needs_test(meta: &syn::Meta) -> bool {
    let Ok(list) = meta.require_list() else {
        return false;
    };
    let written = list.tokens.to_string().replace(' ', "");
    let all = written
        .strip_prefix("all(")
        .and_then(|rest| rest.strip_suffix(')'));
    written == "test" || all.is_some_and(|all| all.split(',').any(|part| part == "test"))
}

/// Walks one file and writes down what it sees.
#[derive(Default)]
struct Ruler {
    measures: Measures,
    tests: BTreeSet<usize>,
    dictated: bool,
}

impl Ruler {
    fn skip(&mut self, span: Span) {
        self.tests.extend(span.start().line..=span.end().line);
    }

    fn function(&mut self, signature: &Signature, body: Option<&syn::Block>) {
        let line = signature.span().start().line;
        let end = body.map(|body| body.brace_token.span.close().end().line);
        self.measures.functions.push(Function {
            name: signature.ident.to_string(),
            line,
            lines: end.map(|end| end + 1 - line),
            arguments: (!self.dictated).then_some(signature.inputs.len()),
            bools: if self.dictated {
                Vec::new()
            } else {
                bools(signature)
            },
        });
    }

    fn tokens(&mut self, tokens: TokenStream) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        for (index, token) in tokens.iter().enumerate() {
            match token {
                TokenTree::Group(group) => self.tokens(group.stream()),
                TokenTree::Ident(name) if name == "unwrap" && is_call(&tokens, index) => {
                    self.measures.unwraps.insert(name.span().start().line);
                }
                _ => {}
            }
        }
    }
}

/// True where `.unwrap()` or `::unwrap` stands at `index`.
fn is_call(tokens: &[TokenTree], index: usize) -> bool {
    let before = index
        .checked_sub(1)
        .map(|before| tokens[before].to_string());
    let empty = |token: &TokenTree| {
        matches!(token, TokenTree::Group(group)
            if group.delimiter() == Delimiter::Parenthesis && group.stream().is_empty())
    };
    match before.as_deref() {
        Some(".") => tokens.get(index + 1).is_some_and(empty),
        Some(":") => true,
        _ => false,
    }
}

fn bools(signature: &Signature) -> Vec<String> {
    let typed = signature.inputs.iter().filter_map(|input| match input {
        FnArg::Typed(typed) => Some(typed),
        FnArg::Receiver(_) => None,
    });
    let bools = typed
        .filter(|typed| matches!(&*typed.ty, Type::Path(path) if path.path.is_ident("bool")))
        .map(|typed| match &*typed.pat {
            syn::Pat::Ident(name) => name.ident.to_string(),
            _ => "_".to_owned(),
        });
    bools.collect()
}

impl<'ast> Visit<'ast> for Ruler {
    fn visit_item(&mut self, item: &'ast Item) {
        if is_for_tests(attributes_of(item)) {
            self.skip(item.span());
        } else {
            visit::visit_item(self, item);
        }
    }

    fn visit_impl_item(&mut self, item: &'ast ImplItem) {
        let attributes: &[Attribute] = match item {
            ImplItem::Fn(function) => &function.attrs,
            ImplItem::Const(constant) => &constant.attrs,
            _ => &[],
        };
        if is_for_tests(attributes) {
            self.skip(item.span());
        } else {
            visit::visit_impl_item(self, item);
        }
    }

    fn visit_item_impl(&mut self, block: &'ast syn::ItemImpl) {
        let outer = std::mem::replace(&mut self.dictated, block.trait_.is_some());
        visit::visit_item_impl(self, block);
        self.dictated = outer;
    }

    fn visit_item_fn(&mut self, function: &'ast syn::ItemFn) {
        let outer = std::mem::replace(&mut self.dictated, false);
        self.function(&function.sig, Some(&function.block));
        visit::visit_item_fn(self, function);
        self.dictated = outer;
    }

    fn visit_impl_item_fn(&mut self, method: &'ast syn::ImplItemFn) {
        self.function(&method.sig, Some(&method.block));
        visit::visit_impl_item_fn(self, method);
    }

    fn visit_trait_item_fn(&mut self, method: &'ast syn::TraitItemFn) {
        self.function(&method.sig, method.default.as_ref());
        visit::visit_trait_item_fn(self, method);
    }

    fn visit_item_struct(&mut self, item: &'ast syn::ItemStruct) {
        self.measures.structs.push(Struct {
            name: item.ident.to_string(),
            line: item.ident.span().start().line,
            fields: item.fields.len(),
        });
        visit::visit_item_struct(self, item);
    }

    fn visit_expr_method_call(&mut self, call: &'ast syn::ExprMethodCall) {
        if call.method == "unwrap" && call.args.is_empty() {
            self.measures
                .unwraps
                .insert(call.method.span().start().line);
        }
        visit::visit_expr_method_call(self, call);
    }

    fn visit_expr_path(&mut self, path: &'ast syn::ExprPath) {
        let last = path
            .path
            .segments
            .last()
            .filter(|_| path.path.segments.len() > 1);
        if let Some(last) = last.filter(|last| last.ident == "unwrap") {
            self.measures.unwraps.insert(last.ident.span().start().line);
        }
        visit::visit_expr_path(self, path);
    }

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        self.tokens(call.tokens.clone());
        visit::visit_macro(self, call);
    }
}

fn attributes_of(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}
