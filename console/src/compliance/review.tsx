import type { ReviewedAccess, ReviewTotals } from "@bulwark/client";
import { useInfiniteQuery, useMutation, useQuery } from "@tanstack/react-query";
import { Link, useNavigate, useParams, useSearch } from "@tanstack/react-router";
import { queries } from "../connection.ts";
import { Missing } from "../failed.tsx";
import { OfOrganization, type Organization } from "../organization.tsx";
import { Confirm } from "../ui/confirm.tsx";
import { useNames } from "../ui/names.ts";
import { Ago, Badge, Empty, Heading, Initials, useTitle } from "../ui/parts.tsx";
import { Actions, Cell, Row, Table } from "../ui/table.tsx";
import { wordsOf } from "./access.ts";
import { Decide } from "./decide.tsx";
import { State } from "./reviews.tsx";

/** One access review: each access, and what was decided about it. */
export function Review() {
  const { review } = useParams({ from: "/shell/o/$slug/reviews/$review" });
  return (
    <OfOrganization title="Access review" permission={["user:read", "compliance:read"]}>
      {(organization) => <Opened key={review} id={review} organization={organization} />}
    </OfOrganization>
  );
}

function Opened({ id, organization }: { id: string; organization: Organization }) {
  const { undecided = false } = useSearch({ from: "/shell/o/$slug/reviews/$review" });
  const navigate = useNavigate({ from: "/o/$slug/reviews/$review" });
  const { data: me } = useQuery(queries.whoami());
  const mayList = organization.permissions.includes("compliance:read");
  const { data: reviews } = useQuery({
    ...queries.reviews.list(organization.id),
    enabled: mayList,
  });
  // Reviewers without compliance:read see what they decide, and not the list of reviews.
  const review = reviews?.find((one) => one.id === id);
  const isElsewhere = reviews !== undefined && !review;
  const items = useInfiniteQuery(queries.reviews.all(id, { undecided }));
  const rows = items.data?.pages.flat();
  const nameOf = useNames(
    organization.id,
    rows?.flatMap(({ user_id, email, decided_by }) => [decided_by, email ? null : user_id]) ?? [],
  );
  const close = useMutation(queries.reviews.close());
  useTitle(review?.name ?? "Access review", organization.name);
  const decides = review?.closed_at === null || review === undefined
    ? review?.reviewers.includes(me?.user.id ?? "") ?? !mayList
    : false;
  if (isElsewhere) return <Missing />;
  return (
    <>
      <Heading
        action={
          <span className="flex gap-2">
            {mayList && (
              <Link
                to="/o/$slug/compliance"
                params={{ slug: organization.slug }}
                search={{ part: "reviews" }}
                className="button plain"
              >
                All reviews
              </Link>
            )}
            {review?.closed_at === null && organization.permissions.includes("role:grant") && (
              <Confirm
                trigger="Close"
                label="Close the review"
                title={`Close ${review.name}?`}
                action="Close for good"
                mutation={close}
                onConfirm={(done) => close.mutate([id], { onSuccess: done })}
              >
                Nobody decides any more. Access without a decision stays, and the record says so.
              </Confirm>
            )}
          </span>
        }
      >
        {review?.name ?? "Access review"}
      </Heading>
      {review && (
        <p className="flex flex-wrap items-center gap-x-3 gap-y-1 text-quiet">
          <State due={review.due_at} closed={review.closed_at} />
          <span>
            due <Ago time={review.due_at} />
          </span>
          {review.closed_at && (
            <span>
              closed <Ago time={review.closed_at} />
            </span>
          )}
        </p>
      )}
      {close.data && <Totals totals={close.data} />}
      <label className="flex items-center gap-2 justify-self-start text-quiet">
        <input
          type="checkbox"
          checked={undecided}
          onChange={({ target }) =>
            navigate({ search: target.checked ? { undecided: true } : {}, replace: true })}
        />
        Only those without a decision
      </label>
      <Table
        label="Reviewed access"
        columns={["Who", "Access", "Decision", "By", { hidden: "Actions" }]}
        rows={rows}
        error={items.error}
        pages={items}
        empty={
          <Empty title={undecided ? "Everything is decided" : "Nothing to review"}>
            {undecided && "Show all to see what was decided."}
          </Empty>
        }
      >
        {(item) => (
          <Item
            key={item.id}
            item={item}
            nameOf={nameOf}
            isOwn={item.user_id === me?.user.id}
            decides={decides}
            organization={organization}
          />
        )}
      </Table>
    </>
  );
}

const outcomes = { kept: "good", ended: "bad", gone: "quiet" } as const;

function Item({ item, nameOf, isOwn, decides, organization }: {
  item: ReviewedAccess;
  nameOf(id: string | null): string;
  isOwn: boolean;
  decides: boolean;
  organization: Organization;
}) {
  const { user_id, name, email, outcome, note, decided_by, decided_at } = item;
  const called = name ?? email ?? nameOf(user_id);
  const { key, opens } = wordsOf(item);
  return (
    <Row data-access={key ?? called}>
      <Cell>
        <span className="flex items-center gap-2 whitespace-nowrap">
          <Initials name={called} />
          <span className="font-medium">{called}</span>
          {key && <span className="text-quiet">key {key}</span>}
        </span>
      </Cell>
      <Cell className="max-w-72 truncate" title={opens}>{opens}</Cell>
      <Cell>
        {outcome
          ? <Badge tone={outcomes[outcome]}>{outcome}</Badge>
          : <span className="text-quiet">none</span>}
        {note && <span className="ml-2 text-quiet">{note}</span>}
      </Cell>
      <Cell className="whitespace-nowrap text-quiet">
        {decided_at && (
          <>
            {nameOf(decided_by)}, <Ago time={decided_at} />
          </>
        )}
      </Cell>
      <Actions>
        {decides && outcome === null &&
          (isOwn
            ? <span className="whitespace-nowrap text-quiet">somebody else decides</span>
            : <Decide item={item} called={key ?? called} organization={organization} />)}
      </Actions>
    </Row>
  );
}

const number = new Intl.NumberFormat();

function Totals({ totals }: { totals: ReviewTotals }) {
  return (
    <p role="status" className="rounded-md bg-good-soft px-3 py-2 text-good">
      Closed {totals.in_time ? "in time" : "late"}: {number.format(totals.kept)} kept,{" "}
      {number.format(totals.ended)} ended, {number.format(totals.gone)} gone before,{" "}
      {number.format(totals.undecided)} without a decision.
    </p>
  );
}
