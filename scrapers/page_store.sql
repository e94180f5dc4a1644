-- Tables of the page store; see page_store.py.

create table if not exists document (
    url text primary key,
    status integer not null,
    fetched_at text not null,
    encoding text not null,
    made_up integer not null,
    sha256 text not null,
    body blob not null
) strict;

create table if not exists page (
    asked text primary key,  -- the target: a code with its dot, or the path of a list of codes in the site's section
    url text not null references document
) strict;

create table if not exists found (place text primary key) strict;  -- targets that pages link to
create table if not exists failure (
    asked text primary key,
    url text not null,
    status integer not null,
    reason text not null
) strict;

create table if not exists read_page (
    code text primary key,
    extractor text not null,
    outcome text not null,
    reading text not null  -- the whole reading as JSON: another extractor may have other fields
) strict;

create table if not exists site (name text not null, language text not null) strict;
