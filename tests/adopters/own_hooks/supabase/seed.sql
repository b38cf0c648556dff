-- The triggers make profiles and personal workspaces.
insert into auth.users (id, email, raw_user_meta_data) values
  ('2a000000-0000-4000-8000-000000000001', 'uma@field.example', '{"avatar_url": "https://img.example/uma"}'),
  ('2a000000-0000-4000-8000-000000000002', 'vic@field.example', '{}'),
  ('2a000000-0000-4000-8000-000000000003', 'xia@stars.example', '{}');

insert into public.workspaces (id, title, plan) values
  ('ws_birds', 'Birds of the delta', 'pro'), ('ws_stars', 'Stars', 'free');
insert into public.workspace_people (workspace, person, level) values
  ('ws_birds', '2a000000-0000-4000-8000-000000000001', 'admin'),
  ('ws_birds', '2a000000-0000-4000-8000-000000000002', 'reader'),
  ('ws_stars', '2a000000-0000-4000-8000-000000000003', 'admin');
insert into public.notes (workspace, author, title, tags) values
  ('ws_birds', '2a000000-0000-4000-8000-000000000001', 'Heron', '{water}'),
  ('ws_birds', '2a000000-0000-4000-8000-000000000001', 'Stork', '{}');

insert into public.exports (workspace, format) values ('ws_birds', 'pdf'), ('ws_stars', 'pdf');

select vault.create_secret('a-key-of-the-map-service', 'map_key');
