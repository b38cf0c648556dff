/** The console's styles in the terms of shadcn: its tokens, and classes with a prefix. */
import { inRepository } from "../../stack/paths.ts";

/** Rules as the shadcn command reads them: selectors and properties, nested. */
export interface Rules {
  [selector: string]: string | Rules;
}

export interface Styles {
  /** The colours that shadcn has no token for. */
  cssVars: Record<"theme" | "light" | "dark", Record<string, string>>;
  /** All rules. */
  css: Rules;
  /** The rules whose classes a text uses. */
  rulesFor(text: string): Rules;
  /** Classes with the colours of shadcn. */
  coloured(classes: string): string;
  /** Classes with the prefix before those that are the console's. */
  prefixed(classes: string): string;
}

/** The console's colours as those of shadcn; the others keep their names. */
const colours: Record<string, string> = {
  "page": "background",
  "surface": "card",
  "raised": "popover",
  "hover": "muted",
  "line": "border",
  "line-strong": "input",
  "ink": "foreground",
  "quiet": "muted-foreground",
  "accent": "primary",
  "on-accent": "primary-foreground",
  "bad": "destructive",
  "bad-soft": "destructive/10",
};
const own = ["good", "warn", "good-soft", "warn-soft"];

const utilities = "bg|text|border(?:-[trblxy])?|fill|stroke|ring|outline|accent|divide|caret";
const names = Object.keys(colours).sort((one, other) => other.length - one.length).join("|");
const coloured = new RegExp(`(?<=(?<![\\w-])(?:${utilities})-)(?:${names})(?![\\w-])`, "g");

/** Reads `console/src/app.css`. */
export async function readStyles(): Promise<Styles> {
  const text = await Deno.readTextFile(inRepository("console", "src", "app.css"));
  const rules = parse(text);
  const components = rules["@layer components"] as Rules;
  const moving = rules["@media (prefers-reduced-motion: no-preference)"] as Rules;
  const classes = [...Object.keys(components), ...Object.keys(moving)]
    .filter((selector) => selector.startsWith(".")).map((selector) => selector.slice(1));
  const ofConsole = new RegExp(`(?<![\\w:-])(?:${classes.join("|")})(?![\\w-])`, "g");
  const toShadcn = (classes: string) => classes.replace(coloured, (name) => colours[name] ?? name);
  const css: Rules = {
    "@layer components": renamed(components, toShadcn),
    "@media (prefers-reduced-motion: no-preference)": renamed(moving, toShadcn),
  };
  return {
    cssVars: {
      theme: Object.fromEntries(own.map((name) => [`color-${name}`, `var(--${name})`])),
      light: Object.fromEntries(own.map((name) => [name, shadeOf(text, name, 1)])),
      dark: Object.fromEntries(own.map((name) => [name, shadeOf(text, name, 2)])),
    },
    css,
    rulesFor: (used) =>
      Object.fromEntries(
        Object.entries(css).map(([at, rules]) =>
          [
            at,
            Object.fromEntries(
              Object.entries(rules).filter(([selector]) =>
                !selector.startsWith(".") || used.includes(selector.slice(1))
              ),
            ),
          ] as const
        ).filter(([, rules]) => Object.keys(rules).some((selector) => selector.startsWith("."))),
      ),
    coloured: toShadcn,
    prefixed: (text) => text.replace(ofConsole, (name) => `bulwark-${name}`),
  };
}

function renamed(rules: Rules, change: (text: string) => string): Rules {
  return Object.fromEntries(
    Object.entries(rules).map(([selector, rule]) => [
      selector.startsWith(".") ? `.bulwark-${selector.slice(1)}` : change(selector),
      typeof rule === "string" ? rule : renamed(rule, change),
    ]),
  );
}

/** The value of a token in light (1) or dark (2). */
function shadeOf(text: string, name: string, which: 1 | 2): string {
  const found = new RegExp(`--${name}: light-dark\\((#\\w+), (#\\w+)\\);`).exec(text)?.[which];
  if (!found) throw new TypeError(`app.css has no light-dark() for --${name}`);
  return found;
}

/** Parses rules; a statement without a colon, such as `@apply`, has no content. */
function parse(text: string): Rules {
  const stack: Rules[] = [{}];
  for (const [, head = "", end] of strip(text).matchAll(/([^{};]*)([{};])/g)) {
    const words = head.trim().replace(/\s+/g, " ");
    const top = stack.at(-1)!;
    if (end === "{") stack.push(top[words] = {});
    else {
      const [name = "", value] = words.split(/:\s(.*)/);
      if (words) {
        top[words.startsWith("@") ? words : name] = words.startsWith("@") ? {} : value ?? "";
      }
      if (end === "}") stack.pop();
    }
  }
  return stack[0]!;
}

const strip = (text: string) => text.replace(/\/\*[\s\S]*?\*\//g, "");
