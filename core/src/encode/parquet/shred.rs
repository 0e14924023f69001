//! One event into columns: values with the definition and repetition levels of the Parquet format.
//!
//! A definition level says how many of the optional and repeated parents of a column are there, a repetition
//! level at which repeated parent a value begins anew (Parquet format, "Nested Encoding"). Every attribute of
//! the schema is optional, so each adds one level; a list or map adds one more for its repeated group.

use parquet::data_type::{BoolType, ByteArray, ByteArrayType, Int32Type, Int64Type};
use parquet::errors::Result;
use parquet::file::writer::SerializedColumnWriter;

use crate::model::json::{Kind, Value, unescape_lossy};

use super::ParquetError;
use super::schema::{Field, Shape};

/// What a column holds for the row group at hand.
#[derive(Debug)]
pub(super) struct Column {
    values: Values,
    definitions: Vec<i16>,
    repetitions: Vec<i16>,
}

#[derive(Debug)]
enum Values {
    Text(Vec<ByteArray>),
    Integer(Vec<i32>),
    Long(Vec<i64>),
    Boolean(Vec<bool>),
}

impl Column {
    fn new(values: Values) -> Self {
        Self { values, definitions: Vec::new(), repetitions: Vec::new() }
    }

    fn level(&mut self, definition: i16, repetition: i16) {
        self.definitions.push(definition);
        self.repetitions.push(repetition);
    }

    /// Writes the column into a row group.
    pub(super) fn write(&self, writer: &mut SerializedColumnWriter<'_>) -> Result<()> {
        let (definitions, repetitions) = (Some(&self.definitions[..]), Some(&self.repetitions[..]));
        match &self.values {
            Values::Text(values) => {
                writer.typed::<ByteArrayType>().write_batch(values, definitions, repetitions)
            }
            Values::Integer(values) => {
                writer.typed::<Int32Type>().write_batch(values, definitions, repetitions)
            }
            Values::Long(values) => writer.typed::<Int64Type>().write_batch(values, definitions, repetitions),
            Values::Boolean(values) => {
                writer.typed::<BoolType>().write_batch(values, definitions, repetitions)
            }
        }
        .map(|_| ())
    }

    /// Forgets the rows that are written.
    pub(super) fn clear(&mut self) {
        match &mut self.values {
            Values::Text(values) => values.clear(),
            Values::Integer(values) => values.clear(),
            Values::Long(values) => values.clear(),
            Values::Boolean(values) => values.clear(),
        }
        self.definitions.clear();
        self.repetitions.clear();
    }
}

/// The columns of a file, in the order of its schema.
#[derive(Debug)]
pub(super) struct Shredder {
    columns: Vec<Column>,
    buffered: usize,
}

/// Where a value stands: the levels of its parents.
#[derive(Debug, Clone, Copy)]
struct Place {
    column: usize,
    definition: i16,
    repetition: i16,
    /// How many repeated parents there are.
    depth: i16,
}

impl Shredder {
    /// Empty columns for these fields.
    pub(super) fn new(fields: &[Field]) -> Self {
        let mut columns = Vec::new();
        fields.iter().for_each(|field| add_columns(field.shape, &mut columns));
        Self { columns, buffered: 0 }
    }

    /// The columns; whoever writes them clears them.
    pub(super) fn columns(&mut self) -> &mut [Column] {
        self.buffered = 0;
        &mut self.columns
    }

    /// Bytes that wait, about.
    pub(super) fn buffered(&self) -> usize {
        self.buffered
    }

    /// Adds one row, or nothing when the event has something that no column is for.
    pub(super) fn row(
        &mut self,
        fields: &[Field],
        event: Value<'_>,
    ) -> std::result::Result<(), ParquetError> {
        check(fields, event)?;
        self.buffered += event.text().len() + self.columns.len() * 4;
        self.group(fields, Some(event), Place { column: 0, definition: 0, repetition: 0, depth: 0 });
        Ok(())
    }

    fn group(&mut self, fields: &[Field], value: Option<Value<'_>>, place: Place) -> usize {
        let mut column = place.column;
        for field in fields {
            let member = value.and_then(|value| value.get(field.name));
            column = self.value(field.shape, member, Place { column, ..place });
        }
        column
    }

    /// Shreds an optional value; gives the first column after it.
    fn value(&mut self, shape: Shape, value: Option<Value<'_>>, place: Place) -> usize {
        let inside = Place { definition: place.definition + i16::from(value.is_some()), ..place };
        match shape {
            Shape::Text | Shape::Integer | Shape::Long | Shape::Boolean => {
                self.leaf(value, inside);
                place.column + 1
            }
            Shape::Group(fields) => self.group(fields, value, inside),
            Shape::Texts => self.list(Shape::Text, value, inside),
            Shape::Groups(fields) => self.list(Shape::Group(fields), value, inside),
            Shape::Map => {
                self.map(value, inside);
                place.column + 2
            }
        }
    }

    fn list(&mut self, element: Shape, value: Option<Value<'_>>, place: Place) -> usize {
        let mut children = value.into_iter().flat_map(Value::children).peekable();
        if children.peek().is_none() {
            return self.value(element, None, place);
        }
        let mut next = place.column;
        let mut inside = Place { definition: place.definition + 1, depth: place.depth + 1, ..place };
        for child in children {
            next = self.value(element, Some(child), inside);
            inside.repetition = inside.depth;
        }
        next
    }

    fn map(&mut self, value: Option<Value<'_>>, place: Place) {
        let mut children = value.into_iter().flat_map(Value::children).peekable();
        let value_place = |place: Place| Place { column: place.column + 1, ..place };
        if children.peek().is_none() {
            self.leaf(None, place);
            self.leaf(None, value_place(place));
            return;
        }
        let mut inside = Place { definition: place.definition + 1, depth: place.depth + 1, ..place };
        for child in children {
            self.push_text(child.key(), inside);
            // The key is required, the value optional: one level more.
            self.leaf(Some(child), value_place(Place { definition: inside.definition + 1, ..inside }));
            inside.repetition = inside.depth;
        }
    }

    fn leaf(&mut self, value: Option<Value<'_>>, place: Place) {
        let Some(value) = value else {
            if let Some(column) = self.columns.get_mut(place.column) {
                column.level(place.definition, place.repetition);
            }
            return;
        };
        if let Some(text) = value.string() {
            return self.push_text(text, place);
        }
        let Some(column) = self.columns.get_mut(place.column) else { return };
        match &mut column.values {
            Values::Integer(values) => values.push(value.text().parse().unwrap_or_default()),
            Values::Long(values) => values.push(value.text().parse().unwrap_or_default()),
            Values::Boolean(values) => values.push(value.kind() == Kind::True),
            Values::Text(_) => {}
        }
        column.level(place.definition, place.repetition);
    }

    fn push_text(&mut self, json_text: &str, place: Place) {
        let Some(column) = self.columns.get_mut(place.column) else { return };
        if let Values::Text(values) = &mut column.values {
            values.push(ByteArray::from(unescape_lossy(json_text).into_owned().into_bytes()));
        }
        column.level(place.definition, place.repetition);
    }
}

fn add_columns(shape: Shape, columns: &mut Vec<Column>) {
    match shape {
        Shape::Text | Shape::Texts => columns.push(Column::new(Values::Text(Vec::new()))),
        Shape::Integer => columns.push(Column::new(Values::Integer(Vec::new()))),
        Shape::Long => columns.push(Column::new(Values::Long(Vec::new()))),
        Shape::Boolean => columns.push(Column::new(Values::Boolean(Vec::new()))),
        Shape::Group(fields) | Shape::Groups(fields) => {
            fields.iter().for_each(|field| add_columns(field.shape, columns));
        }
        Shape::Map => {
            columns.push(Column::new(Values::Text(Vec::new())));
            columns.push(Column::new(Values::Text(Vec::new())));
        }
    }
}

/// Whether every member of the event has a column that can hold it.
fn check(fields: &[Field], value: Value<'_>) -> std::result::Result<(), ParquetError> {
    for member in value.children() {
        let wrong = || ParquetError::Column(member.key().chars().take(80).collect());
        let field = fields.iter().find(|field| member.key_is(field.name)).ok_or_else(wrong)?;
        let is_text = |value: Value<'_>| value.kind() == Kind::String;
        let fits = match field.shape {
            Shape::Text => is_text(member),
            Shape::Integer => member.text().parse::<i32>().is_ok(),
            Shape::Long => member.text().parse::<i64>().is_ok(),
            Shape::Boolean => matches!(member.kind(), Kind::True | Kind::False),
            Shape::Map => member.kind() == Kind::Object && member.children().all(is_text),
            Shape::Texts => member.kind() == Kind::Array && member.children().all(is_text),
            Shape::Group(fields) => {
                check(fields, member)?;
                member.kind() == Kind::Object
            }
            Shape::Groups(fields) => {
                member.children().try_for_each(|child| check(fields, child))?;
                member.kind() == Kind::Array && member.children().all(|child| child.kind() == Kind::Object)
            }
        };
        if !fits {
            return Err(wrong());
        }
    }
    Ok(())
}
