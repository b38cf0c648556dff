import encodeQR from "qr";

/** A QR code (ISO/IEC 18004) of a text as an SVG document that needs no script and no style. */
export function qrSvg(text: string): string {
  return encodeQR(text, "svg", { ecc: "medium", border: 4 });
}
