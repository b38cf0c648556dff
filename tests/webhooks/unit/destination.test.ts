import assert from "node:assert/strict";
import { BulwarkError } from "../../../supabase/functions/_bulwark/foundation/errors.ts";
import { checkUrl } from "../../../supabase/functions/_bulwark/webhooks/destination.ts";

const production = { allowLoopback: false };
const development = { allowLoopback: true };

const refuses = (url: string, policy = production) =>
  assert.throws(
    () => checkUrl(url, policy),
    (thrown) =>
      thrown instanceof BulwarkError && thrown.code === "WEBHOOK_URL_NOT_ALLOWED" &&
      !thrown.message.includes("secret"),
    url,
  );

Deno.test("checkUrl() accepts https on a name of the internet, on any port, without its fragment", () => {
  const accepted: [string, string][] = [
    ["https://example.com/hook?x=1#part", "https://example.com/hook?x=1"],
    ["https://EXAMPLE.com:8443", "https://example.com:8443/"],
    ["https://hooks.slack.com/services/T0/B0/x", "https://hooks.slack.com/services/T0/B0/x"],
    ["https://bücher.example/", "https://xn--bcher-kva.example/"],
    ["https://example.com./", "https://example.com./"],
    ["https://8.8.8.8/", "https://8.8.8.8/"],
    ["https://[2606:4700:4700::1111]/", "https://[2606:4700:4700::1111]/"],
  ];
  for (const [given, expected] of accepted) {
    assert.equal(checkUrl(given, production).href, expected);
  }
});

Deno.test("checkUrl() refuses everything but https", () => {
  for (
    const url of ["http://example.com/", "ftp://example.com/", "file:///etc/passwd", "data:,x"]
  ) {
    refuses(url);
    refuses(url, development);
  }
  for (
    const url of [
      "",
      "example.com",
      "//example.com",
      "https://",
      "https://exa mple.com/",
      "gopher:x",
    ]
  ) {
    refuses(url);
  }
});

Deno.test("checkUrl() refuses credentials, and does not repeat them", () => {
  for (
    const url of [
      "https://user@example.com/",
      "https://user:secret@example.com/",
      "https://:secret@example.com/",
    ]
  ) {
    refuses(url);
    refuses(url, development);
  }
});

Deno.test("checkUrl() sees through every spelling of an address that is not public", () => {
  const spellings = [
    "127.0.0.1",
    "127.1",
    "127.0.1",
    "2130706433",
    "0x7f000001",
    "0x7f.1",
    "0177.0.0.1",
    "017700000001",
    "127.0.0.1.",
    "%31%32%37.0.0.1",
    "１２７.0.0.1",
    "127。0。0。1",
    "①②⑦.⓪.⓪.①",
    "0",
    "0.0.0.0",
    "0x0",
    "10.0.0.1",
    "192.168.1.1",
    "172.16.0.1",
    "100.64.0.1",
    "169.254.169.254",
    "0xa9fea9fe",
    "2852039166",
    "168.63.129.16",
    "224.0.0.1",
    "255.255.255.255",
    "[::1]",
    "[::]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[fe80::1]",
    "[fd00:ec2::254]",
    "[64:ff9b::7f00:1]",
    "[2002:7f00:1::]",
    "[2001::1]",
    "[ff02::1]",
  ];
  for (const host of spellings) refuses(`https://${host}/`);
});

Deno.test("checkUrl() refuses names that are no names of the internet", () => {
  for (
    const host of [
      "localhost",
      "localhost.",
      "a.localhost",
      "LOCALHOST",
      "db",
      "kong",
      "printer.local",
      "api.internal",
      "metadata.google.internal",
      "metadata.google.internal.",
      "router.lan",
      "nas.home.arpa",
      "x.invalid",
    ]
  ) refuses(`https://${host}/`);
});

Deno.test("checkUrl() allows http on loopback in development, and no other private address", () => {
  for (
    const url of [
      "http://127.0.0.1:9/x",
      "http://localhost:9/",
      "http://[::1]:9/",
      "https://127.0.0.1/",
    ]
  ) checkUrl(url, development);
  for (
    const url of [
      "http://10.0.0.1/",
      "https://10.0.0.1/",
      "http://0.0.0.0/",
      "http://169.254.169.254/",
      "http://db/",
    ]
  ) refuses(url, development);
});

Deno.test("checkUrl() refuses an address of more than 2,048 characters", () => {
  refuses(`https://example.com/${"x".repeat(2048)}`);
});
