//! One event into columns: values with the definition and repetition levels of the Parquet format.
//!
//! A definition level says how many of the optional and repeated parents of a column are there, a repetition
//! level at which repeated parent a value begins anew (Parquet format, "Nested Encoding"). Every attribute of
//! the schema is optional, so each adds one level; a list or map adds one more for its repeated group.

use bytes::Bytes;
use parquet::column::writer::ColumnWriterImpl;
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, Int32Type, Int64Type};
use parquet::errors::Result;
use parquet::file::writer::SerializedColumnWriter;

use crate::model::json::{Kind, Value, unescape_lossy};

use super::ParquetError;
use super::schema::{Field, Shape};

/// Levels that are handed to the file writer at once, about: the views of so many strings are made at a time.
const WINDOW: usize = 4_096;

/// What a column holds for the row group at hand.
#[derive(Debug)]
pub(super) struct Column {
    values: Values,
    definitions: Vec<i16>,
    repetitions: Vec<i16>,
    /// The definition level of a value that is there.
    there: i16,
}

/// Strings, one behind the other.
#[derive(Debug, Default)]
struct Texts {
    bytes: Vec<u8>,
    ends: Vec<u32>,
}

#[derive(Debug)]
enum Values {
    Text(Texts),
    Integer(Vec<i32>),
    Long(Vec<i64>),
    Boolean(Vec<bool>),
}

impl Column {
    fn new(values: Values) -> Self {
        Self { values, definitions: Vec::new(), repetitions: Vec::new(), there: i16::MAX }
    }

    fn level(&mut self, definition: i16, repetition: i16) {
        self.definitions.push(definition);
        self.repetitions.push(repetition);
    }

    /// Writes the column into a row group. Its strings are gone afterwards.
    pub(super) fn write(&mut self, writer: &mut SerializedColumnWriter<'_>) -> Result<()> {
        if let Values::Text(texts) = &mut self.values {
            let texts = std::mem::take(texts);
            return self.write_texts(texts, writer.typed::<ByteArrayType>());
        }
        let (definitions, repetitions) = (Some(&self.definitions[..]), Some(&self.repetitions[..]));
        match &self.values {
            Values::Text(_) => Ok(0),
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

    /// Writes strings, a window of rows at a time. A window begins with a row, as the file writer wants it.
    fn write_texts(&self, texts: Texts, writer: &mut ColumnWriterImpl<'_, ByteArrayType>) -> Result<()> {
        let Texts { bytes, ends } = texts;
        let bytes = Bytes::from(bytes);
        let (mut from, mut start, mut ends) = (0, 0_u32, ends.into_iter());
        let mut values = Vec::new();
        while from < self.definitions.len() {
            let rest = self.repetitions.get(from + WINDOW..).unwrap_or_default();
            let more = rest.iter().position(|level| *level == 0);
            let to = more.map_or(self.definitions.len(), |more| from + WINDOW + more);
            let definitions = self.definitions.get(from..to).unwrap_or_default();
            let count = definitions.iter().filter(|level| **level == self.there).count();
            values.clear();
            for end in ends.by_ref().take(count) {
                values.push(ByteArray::from(bytes.slice(start as usize..end as usize)));
                start = end;
            }
            writer.write_batch(&values, Some(definitions), self.repetitions.get(from..to))?;
            from = to;
        }
        Ok(())
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

    /// The columns, to be written; no row may be added afterwards.
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
        self.checked_row(fields, event);
        Ok(())
    }

    /// Adds one row of an event that [`check`] has accepted.
    pub(super) fn checked_row(&mut self, fields: &[Field], event: Value<'_>) {
        self.group(fields, Some(event), Place { column: 0, definition: 0, repetition: 0, depth: 0 });
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
        if let Values::Text(texts) = &mut column.values {
            texts.bytes.extend_from_slice(unescape_lossy(json_text).as_bytes());
            // A row group's text is far below 4 GiB.
            texts.ends.push(u32::try_from(texts.bytes.len()).unwrap_or(u32::MAX));
        }
        column.there = place.definition;
        column.level(place.definition, place.repetition);
    }
}

fn add_columns(shape: Shape, columns: &mut Vec<Column>) {
    match shape {
        Shape::Text | Shape::Texts => columns.push(Column::new(Values::Text(Texts::default()))),
        Shape::Integer => columns.push(Column::new(Values::Integer(Vec::new()))),
        Shape::Long => columns.push(Column::new(Values::Long(Vec::new()))),
        Shape::Boolean => columns.push(Column::new(Values::Boolean(Vec::new()))),
        Shape::Group(fields) | Shape::Groups(fields) => {
            fields.iter().for_each(|field| add_columns(field.shape, columns));
        }
        Shape::Map => {
            columns.push(Column::new(Values::Text(Texts::default())));
            columns.push(Column::new(Values::Text(Texts::default())));
        }
    }
}

/// Whether every member of the event has a column that can hold it.
pub(super) fn check(fields: &[Field], value: Value<'_>) -> std::result::Result<(), ParquetError> {
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
