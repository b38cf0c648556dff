/**
 * Whether a delivery may go to an address. A pure function of the resolved address that is
 * connected to; names are not considered, so no spelling of a name bypasses it.
 *
 * Refuses all addresses that IANA's special-purpose registries do not list as globally reachable
 * (RFC 6890), and a few public addresses on which clouds offer internal services.
 */

/** `public`: deliveries are allowed; `loopback`: in development only; the others never. */
export type AddressKind =
  | "public"
  | "loopback"
  | "private"
  | "link_local"
  | "multicast"
  | "metadata"
  | "reserved"
  | "invalid";

type Range = readonly [prefix: string, bits: number, kind: AddressKind];

const ranges4: readonly Range[] = [
  ["0.0.0.0", 8, "reserved"], // this network (RFC 791)
  ["10.0.0.0", 8, "private"], // RFC 1918
  ["100.64.0.0", 10, "private"], // shared by carriers (RFC 6598)
  ["127.0.0.0", 8, "loopback"], // RFC 1122
  ["168.63.129.16", 32, "metadata"], // Azure's platform, on a public address
  ["169.254.0.0", 16, "link_local"], // RFC 3927, metadata services among them
  ["172.16.0.0", 12, "private"], // RFC 1918
  ["192.0.0.0", 24, "reserved"], // protocol assignments (RFC 6890), Oracle's metadata
  ["192.0.2.0", 24, "reserved"], // documentation (RFC 5737)
  ["192.88.99.0", 24, "reserved"], // 6to4 relays (RFC 7526)
  ["192.168.0.0", 16, "private"], // RFC 1918
  ["198.18.0.0", 15, "private"], // benchmarks (RFC 2544)
  ["198.51.100.0", 24, "reserved"], // documentation
  ["203.0.113.0", 24, "reserved"], // documentation
  ["224.0.0.0", 4, "multicast"], // RFC 5771
  ["240.0.0.0", 4, "reserved"], // RFC 1112, broadcast among them
];

/**
 * Within 2000::/3. Other addresses are public only if {@link embedded} finds a public IPv4 address.
 */
const ranges6: readonly Range[] = [
  ["2001::", 23, "reserved"], // protocol assignments: Teredo, ORCHID, benchmarks (RFC 2928)
  ["2001:db8::", 32, "reserved"], // documentation (RFC 3849)
  ["2002::", 16, "reserved"], // 6to4 (RFC 3056): hides any IPv4 address
  ["2620:4f:8000::", 48, "reserved"], // AS112 (RFC 7534)
  ["3fff::", 20, "reserved"], // documentation (RFC 9637)
];

const special6: readonly Range[] = [
  ["::1", 128, "loopback"],
  ["fc00::", 7, "private"], // unique local (RFC 4193), metadata services among them
  ["fe80::", 10, "link_local"],
  ["fec0::", 10, "private"], // site local (RFC 3879)
  ["ff00::", 8, "multicast"],
];

/** Prefixes under which the last 32 bits are an IPv4 address that the network translates to. */
const embeddings: readonly [prefix: string, bits: number][] = [
  ["::ffff:0:0", 96], // IPv4-mapped (RFC 4291)
  ["64:ff9b::", 96], // NAT64 (RFC 6052)
];

const table4 = compile(ranges4, (text) => bits4(text));
const table6 = compile(ranges6, (text) => bits6(text));
const tableSpecial6 = compile(special6, (text) => bits6(text));
const tableEmbeddings = embeddings.map(([prefix, bits]) => [bits6(prefix)!, bits] as const);

/** Classifies an IP address as written by a resolver or `URL`. */
export function classifyAddress(address: string): AddressKind {
  const value4 = bits4(address);
  if (value4 !== null) return find(table4, value4, 32) ?? "public";
  const value6 = bits6(address);
  if (value6 === null) return "invalid";
  for (const [prefix, bits] of tableEmbeddings) {
    if (sameStart(value6, prefix, bits, 128)) {
      return find(table4, value6 & 0xffffffffn, 32) ?? "public";
    }
  }
  const special = find(tableSpecial6, value6, 128);
  if (special) return special;
  // Only 2000::/3 is assigned on the internet.
  return value6 >> 125n === 1n ? find(table6, value6, 128) ?? "public" : "reserved";
}

/**
 * Whether deliveries may go to every address of a name. One private address refuses the name, since
 * its owner controls which address is used.
 */
export function mayDeliverTo(addresses: readonly string[], allowLoopback: boolean): boolean {
  return addresses.length > 0 && addresses.every((address) => {
    const kind = classifyAddress(address);
    return kind === "public" || (allowLoopback && kind === "loopback");
  });
}

type Table = readonly (readonly [prefix: bigint, bits: number, kind: AddressKind])[];

function compile(ranges: readonly Range[], parse: (text: string) => bigint | null): Table {
  return ranges.map(([prefix, bits, kind]) => [parse(prefix)!, bits, kind]);
}

function find(table: Table, value: bigint, width: number): AddressKind | undefined {
  return table.find(([prefix, bits]) => sameStart(value, prefix, bits, width))?.[2];
}

function sameStart(value: bigint, prefix: bigint, bits: number, width: number): boolean {
  return (value ^ prefix) >> BigInt(width - bits) === 0n;
}

/** Dotted decimal only: no octal, no hexadecimal, exactly four parts. */
function bits4(text: string): bigint | null {
  const parts = text.split(".");
  if (parts.length !== 4) return null;
  let value = 0n;
  for (const part of parts) {
    if (!/^(0|[1-9]\d{0,2})$/.test(part) || Number(part) > 255) return null;
    value = value << 8n | BigInt(part);
  }
  return value;
}

/** RFC 4291, without a zone: addresses with a zone are local. */
function bits6(text: string): bigint | null {
  const tail = /^(.*:)([^:]*\.[^:]*)$/.exec(text);
  if (tail) {
    const value = bits4(tail[2] ?? "");
    if (value === null) return null;
    text = `${tail[1]}${(value >> 16n).toString(16)}:${(value & 0xffffn).toString(16)}`;
  }
  const halves = text.split("::");
  if (halves.length > 2) return null;
  const [head = [], rest = []] = halves.map((half) => half === "" ? [] : half.split(":"));
  const missing = 8 - head.length - rest.length;
  if (halves.length === 2 ? missing < 1 : missing !== 0) return null;
  const groups = [...head, ...Array<string>(missing).fill("0"), ...rest];
  if (!groups.every((group) => /^[\da-f]{1,4}$/i.test(group))) return null;
  return groups.reduce((value, group) => value << 16n | BigInt(`0x${group}`), 0n);
}
