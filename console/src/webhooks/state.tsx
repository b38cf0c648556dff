import type { Enums } from "@bulwark/client";
import { useText } from "../blocks/provider.tsx";
import { Badge } from "../ui/parts.tsx";

/** How an endpoint does, as a shape and a word. */
export function State({ disabled, failing, pausing = false, working }: {
  /** Why it is disabled; null if it is not. */
  disabled: string | null;
  failing: boolean;
  pausing?: boolean;
  working: boolean;
}) {
  const t = useText();
  if (disabled) {
    return (
      <Badge tone={disabled === "manual" ? "quiet" : "bad"}>
        <Shape>■</Shape>
        {disabled === "manual"
          ? t("disabled")
          : disabled === "gone"
          ? t("disabled: it said gone")
          : t("disabled: it kept failing")}
      </Badge>
    );
  }
  if (failing) {
    return (
      <Badge tone="bad">
        <Shape>▲</Shape>
        {pausing ? t("failing, paused between attempts") : t("failing")}
      </Badge>
    );
  }
  if (pausing) {
    return (
      <Badge tone="warn">
        <Shape>▲</Shape>
        {t("slow, paused between attempts")}
      </Badge>
    );
  }
  return working
    ? (
      <Badge tone="good">
        <Shape>●</Shape>
        {t("working")}
      </Badge>
    )
    : (
      <Badge>
        <Shape>○</Shape>
        {t("nothing arrived")}
      </Badge>
    );
}

const looks = {
  delivered: { tone: "good", shape: "●" },
  pending: { tone: "warn", shape: "○" },
  dead: { tone: "bad", shape: "■" },
} as const;

/** The names of the states of a delivery. */
export const statusNames = {
  pending: "waiting",
  delivered: "delivered",
  dead: "given up",
} as const;

export function Status({ status }: { status: Enums["webhook_delivery_status"] }) {
  const t = useText();
  const { tone, shape } = looks[status];
  return (
    <Badge tone={tone}>
      <Shape>{shape}</Shape>
      {t(statusNames[status])}
    </Badge>
  );
}

/** The result of an attempt in words. */
export function outcomeOf(
  outcome: Enums["webhook_outcome"] | null,
  status: number | null | undefined,
): string {
  switch (outcome) {
    case "delivered":
      return `delivered, ${status}`;
    case "rejected":
      return `refused with ${status}`;
    case "timed_out":
      return "no answer in time";
    case "unreachable":
      return "not reachable";
    case "forbidden":
      return "an address that is not allowed";
    case "unreadable":
      return "the address or the secret cannot be decrypted";
    case "lost":
      return "the worker never reported";
    case null:
      return "a worker has it, see below";
  }
}

function Shape({ children }: { children: string }) {
  return <span aria-hidden className="mr-1">{children}</span>;
}
