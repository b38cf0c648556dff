/** The sink as a function of AWS Lambda, with a function URL, over an S3 bucket with an object lock. */
import {
  GetObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  S3Client,
} from "@aws-sdk/client-s3";
import { Buffer } from "node:buffer";
import process from "node:process";
import { answer, newestName } from "./sink.mjs";

const s3 = new S3Client({});
const Bucket = process.env.BUCKET;

const store = {
  async put(name, text) {
    try {
      // Only if nothing has the name; a lock alone would keep the old version and show the new one.
      await s3.send(
        new PutObjectCommand({
          Bucket,
          Key: name,
          Body: text,
          IfNoneMatch: "*",
          ContentType: "text/plain; charset=utf-8",
          ChecksumAlgorithm: "SHA256",
        }),
      );
      return true;
    } catch (thrown) {
      if (thrown.$metadata?.httpStatusCode === 412) return false;
      throw thrown;
    }
  },
  async get(name) {
    try {
      const { Body } = await s3.send(new GetObjectCommand({ Bucket, Key: name }));
      return await Body.transformToString();
    } catch (thrown) {
      if (thrown.name === "NoSuchKey") return null;
      throw thrown;
    }
  },
  newest: () =>
    newestName(async (name) => {
      const { Contents = [] } = await s3.send(
        new ListObjectsV2Command({ Bucket, Prefix: "checkpoints/", StartAfter: name }),
      );
      return Contents.at(-1)?.Key ?? null;
    }),
};

export async function handler(event) {
  const body = event.isBase64Encoded
    ? Buffer.from(event.body ?? "", "base64").toString()
    : event.body ?? "";
  return await answer(
    { method: event.requestContext.http.method, authorization: event.headers.authorization, body },
    store,
    process.env.TOKEN_SHA256,
  );
}
