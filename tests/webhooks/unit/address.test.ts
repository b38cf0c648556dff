import assert from "node:assert/strict";
import {
  type AddressKind,
  classifyAddress,
  mayDeliverTo,
} from "../../../supabase/functions/_bulwark/webhooks/address.ts";

/** First and last address of every range, and its neighbours outside. */
const table: [AddressKind, string[]][] = [
  ["reserved", ["0.0.0.0", "0.0.0.1", "0.255.255.255"]],
  ["public", ["1.0.0.0", "1.1.1.1", "8.8.8.8", "9.255.255.255"]],
  ["private", ["10.0.0.0", "10.20.30.40", "10.255.255.255"]],
  ["public", ["11.0.0.0", "100.63.255.255"]],
  ["private", ["100.64.0.0", "100.100.100.200", "100.127.255.255"]],
  ["public", ["100.128.0.0", "126.255.255.255"]],
  ["loopback", ["127.0.0.0", "127.0.0.1", "127.0.0.53", "127.255.255.255"]],
  ["public", ["128.0.0.0", "168.63.129.15", "168.63.129.17", "169.253.255.255"]],
  ["metadata", ["168.63.129.16"]],
  ["link_local", ["169.254.0.0", "169.254.169.254", "169.254.170.2", "169.254.255.255"]],
  ["public", ["169.255.0.0", "172.15.255.255"]],
  ["private", ["172.16.0.0", "172.17.0.1", "172.31.255.255"]],
  ["public", ["172.32.0.0", "191.255.255.255"]],
  ["reserved", ["192.0.0.0", "192.0.0.8", "192.0.0.192", "192.0.0.255"]],
  ["public", ["192.0.1.0", "192.0.1.255"]],
  ["reserved", ["192.0.2.0", "192.0.2.255"]],
  ["public", ["192.0.3.0", "192.88.98.255"]],
  ["reserved", ["192.88.99.0", "192.88.99.255"]],
  ["public", ["192.88.100.0", "192.167.255.255"]],
  ["private", ["192.168.0.0", "192.168.1.1", "192.168.255.255"]],
  ["public", ["192.169.0.0", "198.17.255.255"]],
  ["private", ["198.18.0.0", "198.19.255.255"]],
  ["public", ["198.20.0.0", "198.51.99.255"]],
  ["reserved", ["198.51.100.0", "198.51.100.255"]],
  ["public", ["198.51.101.0", "203.0.112.255"]],
  ["reserved", ["203.0.113.0", "203.0.113.255"]],
  ["public", ["203.0.114.0", "223.255.255.255"]],
  ["multicast", ["224.0.0.0", "224.0.0.251", "239.255.255.255"]],
  ["reserved", ["240.0.0.0", "254.255.255.255", "255.255.255.255"]],

  ["reserved", [
    "::",
    "::2",
    "::7f00:1",
    "::127.0.0.1",
    "0:0:0:0:0:0:a00:1",
    "1::1",
    "1fff:ffff::",
  ]],
  ["loopback", ["::1", "0:0:0:0:0:0:0:1", "0000::0001"]],
  ["public", ["2000::", "2000:ffff::1", "2a00:1450:4001:82f::200e", "2606:4700:4700::1111"]],
  ["public", ["2001:200::", "2001:db7:ffff::", "2001:db9::", "2003::", "2620:4f:7fff::"]],
  ["reserved", ["2001::", "2001:0:4136:e378:8000:63bf:3fff:fdd2", "2001:10::", "2001:1ff:ffff::"]],
  ["reserved", ["2001:db8::", "2001:db8:ffff:ffff::1", "2620:4f:8000::1"]],
  ["reserved", ["2002::", "2002:7f00:1::", "2002:a9fe:a9fe::1", "2002:ffff::"]],
  ["reserved", ["3fff::", "3fff:fff::1"]],
  ["public", ["3fff:1000::", "3ffe:ffff::"]],
  ["reserved", ["4000::", "5f00::1", "8000::", "fbff::1", "fe00::1", "fe7f::1"]],
  ["reserved", ["100::", "100::1", "100:0:0:1::1", "64:ff9b:1::1", "64:ff9b:1:fffe::a00:1"]],
  ["private", ["fc00::", "fd00:ec2::254", "fd20:ce::254", "fdff:ffff::1"]],
  ["link_local", ["fe80::", "fe80::1", "febf:ffff::1"]],
  ["private", ["fec0::", "feff::1"]],
  ["multicast", ["ff00::", "ff02::1", "ff05::1:3", "ffff::"]],

  // An embedded IPv4 address is classified as itself.
  ["loopback", ["::ffff:127.0.0.1", "::ffff:7f00:1", "0:0:0:0:0:ffff:7f00:0001", "::FFFF:7F00:1"]],
  ["private", ["::ffff:10.0.0.1", "::ffff:192.168.0.1", "64:ff9b::10.0.0.1", "64:ff9b::a00:1"]],
  ["link_local", ["::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe"]],
  ["loopback", ["64:ff9b::7f00:1"]],
  ["reserved", ["::ffff:0.0.0.0", "64:ff9b::0.0.0.0", "::ffff:255.255.255.255"]],
  ["metadata", ["::ffff:168.63.129.16"]],
  ["public", ["::ffff:8.8.8.8", "64:ff9b::8.8.8.8"]],
  ["reserved", ["::ffff:0:7f00:1", "::fffe:7f00:1"]],

  // Only one spelling is an address: other programs may read these differently.
  ["invalid", [
    "",
    " ",
    "localhost",
    "example.com",
    "127.1",
    "127.0.1",
    "2130706433",
    "0x7f000001",
  ]],
  ["invalid", ["0177.0.0.1", "0x7f.0.0.1", "127.0.0.01", "127.0.0.1.", ".127.0.0.1", "127.0.0.1 "]],
  ["invalid", [
    "256.0.0.1",
    "1.1.1.1.1",
    "1.1.1",
    "1..1.1",
    "-1.1.1.1",
    "１２７.0.0.1",
    "127。0。0。1",
  ]],
  ["invalid", ["127.0.0.1:80", "127.0.0.1/8", "127.0.0.1\0", "+1.1.1.1", "1e1.1.1.1"]],
  ["invalid", [":", ":::", "::1::", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "1:2:3:4:5:6:7::8"]],
  ["invalid", [
    "[::1]",
    "fe80::1%eth0",
    "::ffff:127.1",
    "::ffff:0177.0.0.1",
    "::g",
    "12345::",
    "::-1",
  ]],
  ["invalid", ["::1.2.3.4.5", "1.2.3.4::", "::1.2.3.4:1", "2606:4700::1111/64", "::1\n"]],
];

for (const [kind, addresses] of table) {
  Deno.test(`classifyAddress() finds ${kind}: ${addresses.map((a) => JSON.stringify(a)).join(" ")}`, () => {
    for (const address of addresses) assert.equal(classifyAddress(address), kind, address);
  });
}

Deno.test("classifyAddress() knows every first byte of IPv4 and no address inside as public", () => {
  const blocked = new Map([[0, 1], [10, 1], [127, 1]]);
  for (let first = 0; first < 256; first++) {
    const kind = classifyAddress(`${first}.77.77.77`);
    const expected = !blocked.has(first) && first < 224 && first !== 100 ||
      first === 100 && 77 < 64;
    assert.equal(kind === "public", expected, `${first}.77.77.77 is ${kind}`);
  }
});

Deno.test("classifyAddress() calls no IPv6 address public outside of 2000::/3", () => {
  for (let first = 0; first < 0x10000; first += 0x80) {
    const kind = classifyAddress(`${first.toString(16)}:1234::1`);
    if (first < 0x2000 || first > 0x3fff) assert.notEqual(kind, "public", first.toString(16));
  }
});

Deno.test("mayDeliverTo() refuses a name with one address that is not public, and one with none", () => {
  assert.equal(mayDeliverTo(["93.184.216.34", "2606:2800:220:1::1"], false), true);
  assert.equal(mayDeliverTo(["93.184.216.34", "10.0.0.1"], false), false);
  assert.equal(mayDeliverTo(["93.184.216.34", "::ffff:127.0.0.1"], false), false);
  assert.equal(mayDeliverTo([], false), false);
  assert.equal(mayDeliverTo([], true), false);
});

Deno.test("mayDeliverTo() allows loopback in development and nothing else that is not public", () => {
  assert.equal(mayDeliverTo(["127.0.0.1", "::1"], true), true);
  assert.equal(mayDeliverTo(["127.0.0.1"], false), false);
  for (const address of ["10.0.0.1", "169.254.169.254", "0.0.0.0", "::", "fd00::1", "nonsense"]) {
    assert.equal(mayDeliverTo([address], true), false, address);
  }
});
