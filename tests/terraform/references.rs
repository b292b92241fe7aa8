//! Follows every reference of a module.

use std::collections::BTreeSet;

use hcl_edit::expr::{Expression, ForExpr, Traversal, TraversalOperator};
use hcl_edit::structure::{Attribute, Block};
use hcl_edit::visit::{self, Visit};

use crate::module::Module;

/// What a call takes besides the module's own inputs.
const META: [&str; 6] = [
    "source",
    "version",
    "count",
    "for_each",
    "providers",
    "depends_on",
];

/// Every reference of the module that leads nowhere, every call that does not fit, and every input
/// or local that nothing uses. `called` gives the module at a source.
pub(crate) fn faults(module: &Module, called: &dyn Fn(&str) -> Module) -> Vec<String> {
    let mut faults = Vec::new();
    for (name, block) in &module.calls {
        let callee = called(&source(block));
        for attribute in block.body.attributes() {
            let key = attribute.key.as_str();
            if !callee.variables.contains_key(key) && !META.contains(&key) {
                faults.push(format!("module.{name} takes no `{key}`"));
            }
        }
        for (input, required) in &callee.variables {
            if *required && !block.body.has_attribute(input) {
                faults.push(format!("module.{name} lacks `{input}`"));
            }
        }
    }
    let mut walk = Walk {
        module,
        called,
        bound: Vec::new(),
        each: 0,
        used: BTreeSet::new(),
        faults,
    };
    for body in &module.bodies {
        walk.visit_body(body);
    }
    let Walk {
        used, mut faults, ..
    } = walk;
    let unused = |prefix: &str, name: &String| {
        let name = format!("{prefix}.{name}");
        (!used.contains(&name)).then(|| format!("nothing uses {name}"))
    };
    // By the clouds' contract some inputs are for the other cloud, and say so.
    let inputs = module
        .variables
        .keys()
        .filter(|name| !says_unused(module, name));
    faults.extend(inputs.filter_map(|name| unused("var", name)));
    faults.extend(
        module
            .locals
            .iter()
            .filter_map(|name| unused("local", name)),
    );
    faults
}

fn source(call: &Block) -> String {
    let source = call.body.get_attribute("source").unwrap();
    source.value.as_str().unwrap().to_owned()
}

fn says_unused(module: &Module, name: &str) -> bool {
    let declared = module
        .bodies
        .iter()
        .flat_map(|body| body.get_blocks("variable"));
    declared
        .filter(|block| block.has_labels(&[name]))
        .filter_map(|block| block.body.get_attribute("description")?.value.as_str())
        .any(|description| description.contains("Unused: "))
}

struct Walk<'a> {
    module: &'a Module,
    called: &'a dyn Fn(&str) -> Module,
    /// Names that `for` and `dynamic` give, innermost last.
    bound: Vec<String>,
    /// How many blocks with for_each this is within.
    each: usize,
    used: BTreeSet<String>,
    faults: Vec<String>,
}

impl Walk<'_> {
    fn reference(&mut self, root: &str, path: &[&str]) {
        if self.bound.iter().any(|name| name == root) {
            return;
        }
        let module = self.module;
        let of = path.first().copied().unwrap_or_default();
        let found = match root {
            "var" => module.variables.contains_key(of),
            "local" => module.locals.contains(of),
            "module" => module.calls.contains_key(of),
            "path" => ["module", "root"].contains(&of),
            "each" | "count" => {
                if root == "each" && self.each == 0 {
                    self.faults.push("each is not within for_each".to_owned());
                }
                return;
            }
            "data" => {
                let key = format!("data.{}", path[..path.len().min(2)].join("."));
                return self.expect(module.resources.contains_key(&key), &key);
            }
            _ => {
                let key = if of.is_empty() {
                    root.to_owned()
                } else {
                    format!("{root}.{of}")
                };
                return self.expect(module.resources.contains_key(&key), &key);
            }
        };
        let key = format!("{root}.{of}");
        self.expect(found, &key);
        self.used.insert(key);
        if let ("module", Some(call), Some(output)) = (root, module.calls.get(of), path.get(1))
            && !(self.called)(&source(call)).outputs.contains(*output)
        {
            self.faults
                .push(format!("module.{of} has no output `{output}`"));
        }
    }

    fn expect(&mut self, found: bool, key: &str) {
        if !found {
            self.faults.push(format!("there is no {key}"));
        }
    }
}

impl Visit for Walk<'_> {
    fn visit_block(&mut self, node: &Block) {
        let has_each = node.body.has_attribute("for_each");
        let is_dynamic = node.ident.as_str() == "dynamic";
        self.each += usize::from(has_each && !is_dynamic);
        if is_dynamic {
            self.bound.push(node.labels[0].as_str().to_owned());
        }
        visit::visit_block(self, node);
        if is_dynamic {
            self.bound.pop();
        }
        self.each -= usize::from(has_each && !is_dynamic);
    }

    fn visit_attr(&mut self, node: &Attribute) {
        // Types, names of providers, and attributes of the block itself are no references.
        if !["type", "providers", "ignore_changes"].contains(&node.key.as_str())
            || matches!(node.value, Expression::Traversal(_))
        {
            visit::visit_attr(self, node);
        }
    }

    fn visit_for_expr(&mut self, node: &ForExpr) {
        self.visit_expr(&node.intro.collection_expr);
        let before = self.bound.len();
        let names = node.intro.key_var.iter().chain([&node.intro.value_var]);
        self.bound.extend(names.map(|name| name.to_string()));
        for expr in node.key_expr.iter().chain([&node.value_expr]) {
            self.visit_expr(expr);
        }
        if let Some(cond) = &node.cond {
            self.visit_expr(&cond.expr);
        }
        self.bound.truncate(before);
    }

    fn visit_traversal(&mut self, node: &Traversal) {
        let Expression::Variable(root) = &node.expr else {
            return visit::visit_traversal(self, node);
        };
        // Indices and splats choose among instances; names lead on.
        let mut path = Vec::new();
        for operator in &node.operators {
            match operator.value() {
                TraversalOperator::GetAttr(name) => path.push(name.as_str()),
                TraversalOperator::Index(index) => self.visit_expr(index),
                TraversalOperator::AttrSplat(_)
                | TraversalOperator::FullSplat(_)
                | TraversalOperator::LegacyIndex(_) => {}
            }
        }
        self.reference(root.as_str(), &path);
    }

    fn visit_expr(&mut self, node: &Expression) {
        if let Expression::Variable(name) = node {
            self.reference(name.as_str(), &[]);
        } else {
            visit::visit_expr(self, node);
        }
    }

    // A bare word as a key is text.
    fn visit_object_key(&mut self, node: &hcl_edit::expr::ObjectKey) {
        if let hcl_edit::expr::ObjectKey::Expression(expr) = node
            && !matches!(expr, Expression::Variable(_))
        {
            self.visit_expr(expr);
        }
    }
}
