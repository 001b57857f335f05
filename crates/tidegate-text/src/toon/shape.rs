//! Which values are tables.
//!
//! The columns are those of the first row; every other row must have the same
//! keys, in any order, with primitives in the same places.

use serde_json::{Map, Value};

/// One column of a table, or a group of them.
#[derive(Debug)]
pub(super) struct Column<'v> {
    pub(super) name: &'v str,
    pub(super) children: Option<Vec<Column<'v>>>,
}

/// The columns of an array, if it is a table.
pub(super) fn table(items: &[Value]) -> Option<Vec<Column<'_>>> {
    columns(items.first()?, items.iter().skip(1))
}

/// The columns of the values of an object, if it has at least two and they are
/// a table.
pub(super) fn keyed(map: &Map<String, Value>) -> Option<Vec<Column<'_>>> {
    let mut rows = map.values();
    let first = rows.next()?;
    if map.len() < 2 {
        return None;
    }
    columns(first, rows)
}

fn columns<'v>(first: &'v Value, rest: impl Iterator<Item = &'v Value>) -> Option<Vec<Column<'v>>> {
    let columns = template(first)?;
    for row in rest {
        if !fits(row, &columns) {
            return None;
        }
    }
    Some(columns)
}

fn template(row: &Value) -> Option<Vec<Column<'_>>> {
    let Value::Object(map) = row else {
        return None;
    };
    if map.is_empty() {
        return None;
    }
    let mut list = Vec::with_capacity(map.len());
    for (name, value) in map {
        let children = match value {
            Value::Array(_) => return None,
            Value::Object(_) => Some(template(value)?),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
        };
        list.push(Column { name, children });
    }
    Some(list)
}

fn fits(row: &Value, columns: &[Column<'_>]) -> bool {
    let Value::Object(map) = row else {
        return false;
    };
    map.len() == columns.len()
        && in_columns(map, columns).all(|(column, value)| match (&column.children, value) {
            (Some(children), Some(value)) => fits(value, children),
            (None, Some(value)) => !matches!(value, Value::Array(_) | Value::Object(_)),
            (_, None) => false,
        })
}

/// The values of a row in the order of the columns. Rows mostly have their keys
/// in that order already, and then nothing is looked up.
pub(super) fn in_columns<'a, 'v>(
    map: &'a Map<String, Value>,
    columns: &'a [Column<'v>],
) -> impl Iterator<Item = (&'a Column<'v>, Option<&'a Value>)> {
    let mut own = map.iter();
    columns.iter().map(move |column| match own.next() {
        Some((key, value)) if key == column.name => (column, Some(value)),
        Some(_) | None => (column, map.get(column.name)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn is_table(value: Value) -> bool {
        match &value {
            Value::Array(items) => table(items).is_some(),
            Value::Object(map) => keyed(map).is_some(),
            _ => false,
        }
    }

    #[test]
    fn rows_with_the_same_keys_in_any_order_are_a_table() {
        assert!(is_table(json!([{"a": 1, "b": 2}, {"b": null, "a": "x"}])));
        assert!(is_table(
            json!([{"a": {"x": 1, "y": 2}}, {"a": {"y": 3, "x": 4}}])
        ));
        assert!(is_table(json!({"p": {"a": 1}, "q": {"a": 2}})));
    }

    #[test]
    fn whatever_else_is_none() {
        assert!(!is_table(json!([])));
        assert!(!is_table(json!([{}, {}])));
        assert!(!is_table(json!([{"a": 1}, {"b": 1}])));
        assert!(!is_table(json!([{"a": 1}, {"a": 1, "b": 2}])));
        assert!(!is_table(json!([{"a": 1}, 1])));
        assert!(!is_table(json!([{"a": [1]}])));
        assert!(!is_table(json!([{"a": {}}])));
        assert!(!is_table(json!([{"a": {"x": 1}}, {"a": null}])));
        assert!(!is_table(json!([{"a": null}, {"a": {"x": 1}}])));
        assert!(!is_table(json!({"p": {"a": 1}})));
    }
}
