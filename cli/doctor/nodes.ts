/** A node of Postgres's text form of expressions, as in pg_policy.polqual. */
export interface Node {
  type: string;
  /** Fields with a plain value, such as `funcid`. */
  fields: Map<string, string>;
  children: Node[];
}

/** Reads the text form of an expression (pg_node_tree). */
export function readNodes(text: string): Node[] {
  const tokens = text.match(/\\.|[{}()]|(?:\\.|[^\s{}()\\])+/g) ?? [];
  const root: Node = { type: "", fields: new Map(), children: [] };
  const open = [root];
  let field = "";
  for (let index = 0; index < tokens.length; index++) {
    const token = tokens[index] ?? "";
    const node = open.at(-1) ?? root;
    if (token === "{") {
      const child: Node = { type: tokens[++index] ?? "", fields: new Map(), children: [] };
      node.children.push(child);
      open.push(child);
    } else if (token === "}") {
      open.pop();
    } else if (token.startsWith(":")) {
      field = token.slice(1);
    } else if (token !== "(" && token !== ")" && field) {
      if (!node.fields.has(field)) node.fields.set(field, token);
    }
  }
  return root.children;
}

/**
 * The functions among some that an expression calls for each row: outside of a sub-select, or in one
 * that refers to the row. A sub-select without such a reference is evaluated once for a query.
 */
export function calledPerRow(text: string, functions: Set<string>): Set<string> {
  const called = new Set<string>();
  const visit = (node: Node, depth: number) => {
    if (node.type === "SUBLINK" && !refersToRow(node, depth)) {
      // ANY has an operand beside its sub-select, which is evaluated for each row.
      for (const child of node.children) if (child.type !== "QUERY") visit(child, depth);
      return;
    }
    const id = node.fields.get("funcid") ?? node.fields.get("opfuncid") ?? "";
    if (functions.has(id)) called.add(id);
    for (const child of node.children) visit(child, depth + (node.type === "QUERY" ? 1 : 0));
  };
  for (const node of readNodes(text)) visit(node, 0);
  return called;
}

/** Whether the sub-select of a sublink refers to the row of the policy's table. */
function refersToRow(sublink: Node, outer: number): boolean {
  const visit = (node: Node, depth: number): boolean => {
    const inside = depth + (node.type === "QUERY" ? 1 : 0);
    if (node.type === "VAR" && Number(node.fields.get("varlevelsup")) === depth) return true;
    return node.children.some((child) => visit(child, inside));
  };
  return sublink.children.filter(({ type }) => type === "QUERY").some((node) => visit(node, outer));
}
