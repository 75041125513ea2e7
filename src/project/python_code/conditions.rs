//! Conditions whose value is known before a program runs.

use ruff_python_ast::{BoolOp, CmpOp, Expr, Number, UnaryOp};

/// What is known of a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Truth {
    /// It holds.
    Yes,
    /// It does not hold.
    No,
    /// It depends on the running program.
    Unknown,
    /// It asks for the Python, the system or what is installed: what stands under it is for where that is so.
    Asks,
}

impl Truth {
    fn of(holds: bool) -> Self {
        if holds { Self::Yes } else { Self::No }
    }

    pub(super) fn not(self) -> Self {
        match self {
            Self::Yes => Self::No,
            Self::No => Self::Yes,
            other => other,
        }
    }
}

/// The last name of `a.b.c` or `c`.
pub(super) fn last_name(expression: &Expr) -> Option<&str> {
    match expression {
        Expr::Name(name) => Some(name.id.as_str()),
        Expr::Attribute(attribute) => Some(attribute.attr.as_str()),
        _ => None,
    }
}

/// Whether the expression is `outer.name`.
pub(super) fn is_attribute(expression: &Expr, outer: &str, name: &str) -> bool {
    matches!(expression, Expr::Attribute(attribute)
        if attribute.attr.as_str() == name && last_name(&attribute.value) == Some(outer))
}

/// What is known of `condition` for this Python.
pub(super) fn truth(condition: &Expr, python: (u8, u8)) -> Truth {
    match condition {
        Expr::BooleanLiteral(literal) => Truth::of(literal.value),
        Expr::NumberLiteral(literal) => match &literal.value {
            Number::Int(number) => Truth::of(number.as_u64() != Some(0)),
            Number::Float(_) | Number::Complex { .. } => Truth::Unknown,
        },
        Expr::Name(_) | Expr::Attribute(_) => match last_name(condition) {
            Some("TYPE_CHECKING" | "PY2") => Truth::No,
            Some("PY3") => Truth::Yes,
            Some("PYPY" | "IS_PYPY" | "WINDOWS" | "IS_WINDOWS" | "JYTHON") => Truth::Asks,
            _ => Truth::Unknown,
        },
        Expr::UnaryOp(not) if not.op == UnaryOp::Not => truth(&not.operand, python).not(),
        Expr::BoolOp(parts) => {
            let parts_of = parts.values.iter().map(|part| truth(part, python));
            together(parts.op, parts_of)
        }
        Expr::Compare(compare) => match (&*compare.ops, &*compare.comparators) {
            ([operator], [right]) => compared(&compare.left, *operator, right, python),
            _ => Truth::Unknown,
        },
        Expr::Call(call) if asks(&call.func) => Truth::Asks,
        _ => Truth::Unknown,
    }
}

fn together(operator: BoolOp, parts: impl Iterator<Item = Truth>) -> Truth {
    let (deciding, neutral) = match operator {
        BoolOp::And => (Truth::No, Truth::Yes),
        BoolOp::Or => (Truth::Yes, Truth::No),
    };
    let mut all = neutral;
    for part in parts {
        if part == deciding {
            return deciding;
        }
        all = match (all, part) {
            (Truth::Asks, _) | (_, Truth::Asks) => Truth::Asks,
            (_, Truth::Unknown) => Truth::Unknown,
            (before, _) => before,
        };
    }
    all
}

/// What of `sys` tells of the system, the Python and what is installed.
const SYSTEM: [&str; 6] = [
    "platform",
    "version",
    "version_info",
    "hexversion",
    "implementation",
    "modules",
];

/// Whether the expression is about the system, or about what is installed.
fn asks(expression: &Expr) -> bool {
    match expression {
        Expr::Call(call) => asks(&call.func),
        Expr::Subscript(subscript) => asks(&subscript.value),
        Expr::Attribute(attribute) => {
            SYSTEM
                .iter()
                .any(|name| is_attribute(expression, "sys", name))
                || last_name(&attribute.value) == Some("platform")
                || is_attribute(expression, "os", "name")
                || attribute.attr.as_str() == "find_spec"
                || asks(&attribute.value)
        }
        Expr::Name(name) => matches!(name.id.as_str(), "find_spec" | "version_info" | "platform"),
        _ => false,
    }
}

fn compared(left: &Expr, operator: CmpOp, right: &Expr, python: (u8, u8)) -> Truth {
    let known = of_python(left, python).zip(numbers(right));
    let Some((known, wanted)) = known else {
        return if asks(left) || asks(right) {
            Truth::Asks
        } else {
            Truth::Unknown
        };
    };
    // Of the rest of the version, `sys.version_info` has more than a pair: `(3, 9, 1, …) > (3, 9)`.
    let longer = known.len() < wanted.len() && wanted.starts_with(&known);
    if longer {
        return Truth::Asks;
    }
    let is_whole = matches!(left, Expr::Attribute(_) | Expr::Name(_))
        && last_name(left) == Some("version_info");
    let mut order = known.cmp(&wanted);
    if is_whole && known.starts_with(&wanted) {
        order = std::cmp::Ordering::Greater;
    }
    match operator {
        CmpOp::Lt => Truth::of(order.is_lt()),
        CmpOp::LtE => Truth::of(order.is_le()),
        CmpOp::Gt => Truth::of(order.is_gt()),
        CmpOp::GtE => Truth::of(order.is_ge()),
        CmpOp::Eq => Truth::of(order.is_eq()),
        CmpOp::NotEq => Truth::of(order.is_ne()),
        CmpOp::Is | CmpOp::IsNot | CmpOp::In | CmpOp::NotIn => Truth::Asks,
    }
}

/// The known numbers of an expression about Python's version.
fn of_python(expression: &Expr, (major, minor): (u8, u8)) -> Option<Vec<u64>> {
    let is_version = |expression: &Expr| last_name(expression) == Some("version_info");
    let (major, minor) = (u64::from(major), u64::from(minor));
    match expression {
        Expr::Attribute(attribute) if is_version(&attribute.value) => match attribute.attr.as_str()
        {
            "major" => Some(vec![major]),
            "minor" => Some(vec![minor]),
            _ => None,
        },
        Expr::Subscript(subscript) if is_version(&subscript.value) => match &*subscript.slice {
            Expr::NumberLiteral(_) => match numbers(&subscript.slice)?.as_slice() {
                [0] => Some(vec![major]),
                [1] => Some(vec![minor]),
                _ => None,
            },
            Expr::Slice(slice) if slice.lower.is_none() && slice.step.is_none() => {
                match numbers(slice.upper.as_deref()?)?.as_slice() {
                    [1] => Some(vec![major]),
                    [2] => Some(vec![major, minor]),
                    _ => None,
                }
            }
            _ => None,
        },
        _ if is_version(expression) => Some(vec![major, minor]),
        _ => None,
    }
}

/// The numbers of a number or a tuple.
fn numbers(expression: &Expr) -> Option<Vec<u64>> {
    match expression {
        Expr::NumberLiteral(literal) => match &literal.value {
            Number::Int(number) => Some(vec![number.as_u64()?]),
            Number::Float(_) | Number::Complex { .. } => None,
        },
        Expr::Tuple(tuple) => {
            let parts = tuple.elts.iter().map(|part| match numbers(part)?[..] {
                [number] => Some(number),
                _ => None,
            });
            parts.collect()
        }
        _ => None,
    }
}
