import { useRouter, useSearch } from "@tanstack/react-router";
import { auth, known, queries } from "../connection.ts";
import { entrance } from "../entrance.ts";
import { trustDevice } from "../trusted_device.ts";
import { MfaChallenge } from "./challenge.tsx";
import { Frame } from "./frame.tsx";

export function SecondFactor() {
  const { to } = useSearch({ from: "/second-factor" });
  const router = useRouter();
  const enter = async (trusting: boolean) => {
    const { user } = await known.fetchQuery({ ...queries.whoami(), staleTime: 0 });
    // The person is in even if the browser cannot be trusted.
    if (trusting) await trustDevice(user.id).catch(() => {});
    router.history.push(await entrance(to));
  };
  return (
    <Frame title="Second factor">
      <MfaChallenge onVerified={(trusting) => void enter(trusting)}>
        <button type="button" className="link" onClick={() => auth.signOut()}>Sign out</button>
      </MfaChallenge>
    </Frame>
  );
}
