-- Fills the community's database with :posts posts in a hundred channels, by its own people, over a
-- year. The indexes are made when all is there, as that is ten times as quick.
begin;
insert into channels
  select (jsonb_populate_record(c, jsonb_build_object(
    'id', substr(md5('hall' || n) || md5(n::text), 1, 26), 'name', 'hall-' || n, 'displayname', 'Hall ' || n))).*
  from channels c, generate_series(1, 100) n where c.name = 'fountain';
create temporary table later on commit drop as
  select indexdef from pg_indexes where tablename = 'posts' and indexname not like '%pkey';
do $$ declare name text; begin
  for name in select indexname from pg_indexes where tablename = 'posts' and indexname not like '%pkey' loop
    execute format('drop index %I', name);
  end loop;
end $$;
create temporary table halls on commit drop as
  select row_number() over () - 1 as n, id from channels where name like 'hall-%' or name = 'fountain';
create temporary table people on commit drop as
  select row_number() over () - 1 as n, id from users where username in ('admin', 'ada', 'grace');
insert into posts (id, createat, updateat, editat, deleteat, ispinned, userid, channelid, rootid, originalid,
    message, type, props, hashtags, filenames, fileids, hasreactions)
  select substr(md5('post' || i) || md5(i::text), 1, 26), at, at, 0, 0, false, p.id, h.id, '', '',
    (select string_agg('word' || (hashint8(i * 31 + w) & 4095), ' ') from generate_series(1, 32) w),
    '', '{}', '', '[]', '[]', false
  from generate_series(1, :posts) i
    cross join lateral (select (extract(epoch from now()) * 1000)::bigint - 31536000000 + i * (31000000000 / :posts)) t(at)
    join halls h on h.n = i % (select count(*) from halls)
    join people p on p.n = i % (select count(*) from people);
set local maintenance_work_mem = '512MB';
do $$ declare definition text; begin
  for definition in select indexdef from later loop
    execute definition;
  end loop;
end $$;
commit;
vacuum analyze;
checkpoint;
