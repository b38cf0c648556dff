import encodeQR from "qr";

/** The width of a module in CSS pixels, so that a phone reads it from arm's length. */
const moduleSize = 5;

/**
 * A QR code (ISO/IEC 18004) as an SVG document without scripts and styles. It has a size, so that no
 * layout collapses it; a background, so that it can be read on a dark page; and a title for screen
 * readers.
 */
export function qrSvg(text: string): string {
  const modules = encodeQR(text, "raw", { ecc: "medium", border: 4 });
  const count = modules.length;
  const size = count * moduleSize;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${size}" height="${size}"`,
    ` viewBox="0 0 ${count} ${count}" role="img" shape-rendering="crispEdges">`,
    "<title>QR code for an authenticator app</title>",
    `<path fill="#fff" d="M0 0h${count}v${count}H0z"/>`,
    `<path fill="#000" d="${modules.map(rowPath).join("")}"/></svg>`,
  ].join("");
}

/** The dark modules of a row, each run of them as one rectangle. */
function rowPath(row: boolean[], y: number): string {
  let path = "";
  for (let x = 0; x < row.length; x++) {
    const start = x;
    while (row[x]) x++;
    if (x > start) path += `M${start} ${y}h${x - start}v1H${start}z`;
  }
  return path;
}
