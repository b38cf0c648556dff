import { useRouter, useSearch } from "@tanstack/react-router";
import { browserName } from "../account/browser_name.ts";
import { useText } from "../blocks/provider.tsx";
import { known, queries } from "../connection.ts";
import { entrance } from "../entrance.ts";
import { signOut } from "../session.ts";
import { trustDevice } from "../trusted_device.ts";
import { MfaChallenge } from "./challenge.tsx";
import { Frame } from "./frame.tsx";

export function SecondFactor() {
  const { to } = useSearch({ from: "/second-factor" });
  const router = useRouter();
  const t = useText();
  const enter = async (trusting: boolean) => {
    const { user } = await known.fetchQuery({ ...queries.whoami(), staleTime: 0 });
    // The person is in even if the browser cannot be trusted.
    const name = browserName(navigator.userAgent, t);
    if (trusting) await trustDevice(user.id, name).catch(() => {});
    router.history.push(await entrance(to));
  };
  return (
    <Frame title="Second factor">
      <MfaChallenge onVerified={(trusting) => void enter(trusting)}>
        <button type="button" className="link" onClick={() => void signOut()}>Sign out</button>
      </MfaChallenge>
    </Frame>
  );
}
