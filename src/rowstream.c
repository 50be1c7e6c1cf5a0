/*-------------------------------------------------------------------------
 *
 * rowstream.c
 *		Bytes of a JSON reply, as they arrive, to projected row values.
 *
 * No tree is built.  The paths wanted are compiled once (a projection) to a
 * trie of member names; a row is read in one pass over its bytes, which
 * fills the values that the trie names and skips the others by structure.
 * Strings are skipped 16 bytes at a time where the processor has SSE2.  The
 * order of the members seen in earlier rows predicts the next name, so that
 * most names cost one comparison; a wrong guess costs a search, never a
 * wrong result.
 *
 * Strictness: structure is checked everywhere, in what is skipped as well:
 * brackets, commas, literals, numbers, control characters and escapes in
 * strings.  UTF-8 and surrogate pairs are checked only in values that are
 * used, by apigouv_value_check.  Both are the same code, compiled twice.
 * A number is right when its grammar is: how large it may be is for the
 * column's type to say.  A repeated member of a row or of the envelope
 * replaces the earlier one; a repeated member on the way to the rows is an
 * error, because rows have been given by then.
 *
 * Resuming: the state between two calls is a few integers and offsets, never
 * pointers, since the caller's bytes may move.  Between members and between
 * rows reading goes on where it stopped.  A row or a member of the envelope
 * that is cut is read again from its start, but only once the bytes since
 * that start have doubled, so a giant row costs twice its size and not its
 * square.
 *
 * Memory is malloc'ed by the create functions only; nothing is allocated
 * while reading.  The caller frees through a memory context callback.
 *
 * Not here: lists inside rows (unnest.c), what is done with a value that was
 * found (rowvalue.c), types of columns (tuple.c), when bytes arrive (http.c).
 *
 *-------------------------------------------------------------------------
 */
#include "rowstream.h"
#include "rowstream_scan.h"
#include "rowstream_trie.h"

#include <stdlib.h>
#include <string.h>

#define ROWS_TWICE		gettext_noop("member on the way to the rows occurs twice")

struct ApigouvProjection
{
	Trie		row;
	Trie		envelope;		/* the rows path is its last path */
	int			nenvelope;
	bool		list;			/* rows are the elements of a list */
	int			nsteps;			/* names on the way to the rows */
	int			spine[MAX_STEPS + 1];	/* envelope nodes of that way */
	bool		envelope_in_row;	/* a single row holds envelope values */
};

/* Reading of the values that a trie names.  Lives for one call. */
typedef struct Reader
{
	Scan		scan;
	const Trie *trie;			/* what to read */
	Shape	   *shapes;			/* per node; NULL = predict nothing */
	ApigouvValue *values;		/* per path */
} Reader;

/* A value of the envelope, wherever the bytes are next time. */
typedef struct Place
{
	ApigouvValueKind kind;
	bool		escaped;
	size_t		offset;
	size_t		len;
} Place;

typedef enum State
{
	AT_VALUE,					/* before the value at spine[level] */
	IN_OBJECT,					/* in the object at spine[level] */
	IN_LIST,					/* in the list of rows */
	AFTER						/* after the document */
} State;

typedef enum Step
{
	STEP_ON,
	STEP_ROW,
	STEP_STOP					/* Scan.error says why */
} Step;

struct ApigouvRowstream
{
	const ApigouvProjection *projection;
	State		state;
	int			level;			/* position on the way to the rows */
	int			met;			/* names of that way met so far */
	bool		first;			/* the container has just been opened */
	bool		found;
	size_t		pos;			/* bytes before it are done with */
	size_t		row_at;			/* the element last read follows, in IN_LIST */
	size_t		retry_at;		/* bytes needed before it is worth trying */
	const char *error;			/* NULL if none */
	size_t		error_at;
	size_t		starts[MAX_STEPS + 1];	/* of the containers open, by level */
	Place	   *places;			/* envelope values */
	ApigouvValue *scratch;		/* the same, while a member is read */
	Shape	   *shapes;			/* of the row's nodes */
	Entry	   *entries;		/* of all shapes */
};

/* ----------------------------------------------------------------
 *		Compiling paths
 * ----------------------------------------------------------------
 */

/*
 * The way to the rows: path, without the brackets of a list.  It is the last
 * of the envelope's paths; here its nodes are put in order.
 */
static void
trace_spine(ApigouvProjection *projection, const char *path)
{
	const Trie *trie = &projection->envelope;
	const Node *rows;
	const char *name;
	size_t		len;
	int			node = 0;

	while ((name = take_name(&path, &len)) != NULL)
	{
		node = add_child(&projection->envelope, node, name, len);
		projection->spine[++projection->nsteps] = node;
	}
	rows = &trie->nodes[node];
	projection->envelope_in_row = rows->nchildren > 0 ||
		trie->next_slot[rows->first_slot] >= 0;
}

/*
 * apigouv_projection_create
 *		Compile what to read of the replies of one route.
 *
 * Paths are copied.  An envelope path may also lead to, around or into rows
 * that are a single value; into a list it leads nowhere.
 */
ApigouvProjection *
apigouv_projection_create(const char *rows_path,
						  int nrow, const char *const *row_paths,
						  int nenvelope, const char *const *envelope_paths,
						  const char **error)
{
	ApigouvProjection *projection = calloc(1, sizeof(ApigouvProjection));
	size_t		len = strlen(rows_path);
	char	   *path = malloc(len + 1);

	*error = gettext_noop("out of memory");
	if (projection != NULL && path != NULL)
	{
		memcpy(path, rows_path, len + 1);
		if (len >= 2 && strcmp(path + len - 2, "[]") == 0)
		{
			projection->list = true;
			path[len - 2] = '\0';
		}
		projection->nenvelope = nenvelope;
		*error = trie_build(&projection->row, nrow, row_paths, NULL);
		if (*error == NULL)
			*error = trie_build(&projection->envelope, nenvelope,
								envelope_paths, path);
	}
	if (*error == NULL)
		trace_spine(projection, path);
	else
	{
		apigouv_projection_free(projection);
		projection = NULL;
	}
	free(path);
	return projection;
}

void
apigouv_projection_free(ApigouvProjection *projection)
{
	if (projection == NULL)
		return;
	trie_free(&projection->row);
	trie_free(&projection->envelope);
	free(projection);
}

/* ----------------------------------------------------------------
 *		Reading the values that a trie names
 * ----------------------------------------------------------------
 */

/*
 * A name that is not the predicted one: the one after that, or else looked
 * up, and learnt for the next row.
 *
 * p: after the opening quote; *at: index of the prediction, moved on.
 * Returns the position after the closing quote and sets *child.
 */
NOT_INLINE const char *
other_name(Reader *r, int node, Shape *shape, int *at, const char *p,
		   int *child)
{
	const char *start = p;
	bool		escaped = false;
	size_t		len;
	Entry	   *entry;

	if (*at + 1 < shape->n &&
		same_name(&shape->entries[*at + 1], p, r->scan.end))
	{
		entry = &shape->entries[*at + 1];
		*at += 2;
		*child = entry->child;
		return p + entry->len + 1;
	}
	p = skip_string(&r->scan, p, false, &escaped);
	if (p == NULL)
		return NULL;
	len = (size_t) (p - 1 - start);
	*child = find_child(r->trie, node, start, len, escaped);
	if (len < NAME_BYTES && *at < shape->max)
	{
		entry = &shape->entries[*at];
		memset(entry->name, 0, NAME_BYTES);
		memcpy(entry->name, start, len + 1);
		entry->mask = ~(uint32_t) 0 >> (NAME_BYTES - 1 - len);
		entry->len = (int) len;
		entry->child = *child;
		if (*at == shape->n)
			shape->n++;
		(*at)++;
	}
	return p;
}

/* No value has been seen below a node. */
static void
clear_below(Reader *r, int node)
{
	const int  *children = r->trie->children + r->trie->nodes[node].child_at;
	int			i;
	int			slot;

	for (i = 0; i < r->trie->nodes[node].nchildren; i++)
	{
		for (slot = r->trie->nodes[children[i]].first_slot; slot >= 0;
			 slot = r->trie->next_slot[slot])
			memset(&r->values[slot], 0, sizeof(ApigouvValue));
		clear_below(r, children[i]);
	}
}

static const char *read_object(Reader *r, int node, const char *p, int depth);

/*
 * Read the value of a node: fill what is wanted of it and below it.
 *
 * p: at its first byte; depth: containers open around it.  Recursion is as
 * deep as the paths are long, not as the document is.
 */
static const char *
read_value(Reader *r, int node, const char *p, int depth)
{
	const Node *n = &r->trie->nodes[node];
	const char *start = p;
	bool		escaped = false;
	int			slot;

	if (n->nchildren > 0)
		clear_below(r, node);
	if (n->nchildren > 0 && *p == '{')
		p = read_object(r, node, p, depth);
	else
		p = skip_value(&r->scan, p, depth, &escaped);
	if (p == NULL)
		return NULL;
	for (slot = n->first_slot; slot >= 0; slot = r->trie->next_slot[slot])
		r->values[slot] = make_value(start, p, escaped);
	return p;
}

/* The same for an object, some of whose members are wanted. */
static const char *
read_object(Reader *r, int node, const char *p, int depth)
{
	Shape		none = {NULL, 0, 0};
	Shape	   *shape = r->shapes != NULL ? &r->shapes[node] : &none;
	bool		escaped;
	int			at = 0;
	int			child;
	int			c;

	if (depth++ == MAX_DEPTH)
		return fail(&r->scan, p, TOO_DEEP);
	p++;
	c = peek(&r->scan, &p);
	if (c == '}')
		return p + 1;
	for (;;)
	{
		if (c != '"')
			return unexpected(&r->scan, p, c);
		p++;
		if (at < shape->n && same_name(&shape->entries[at], p, r->scan.end))
		{
			child = shape->entries[at].child;
			p += shape->entries[at++].len + 1;
		}
		else if ((p = other_name(r, node, shape, &at, p, &child)) == NULL)
			return NULL;
		c = peek(&r->scan, &p);
		if (c != ':')
			return unexpected(&r->scan, p, c);
		p++;
		if (peek(&r->scan, &p) < 0)
			return run_out(&r->scan);
		if (child < 0)
			p = skip_value(&r->scan, p, depth, &escaped);
		else
			p = read_value(r, child, p, depth);
		if (p == NULL)
			return NULL;
		c = peek(&r->scan, &p);
		if (c == '}')
			return p + 1;
		if (c != ',')
			return unexpected(&r->scan, p, c);
		p++;
		c = peek(&r->scan, &p);
	}
}

/* ----------------------------------------------------------------
 *		A reply
 * ----------------------------------------------------------------
 */

/* Give each node that has children its part of the entries. */
static void
make_shapes(ApigouvRowstream *stream)
{
	const Trie *trie = &stream->projection->row;
	Entry	   *entries = stream->entries;
	size_t		i;

	for (i = 0; i < trie->nnodes; i++)
	{
		Shape	   *shape = &stream->shapes[i];

		if (trie->nodes[i].nchildren == 0)
			continue;
		shape->entries = entries;
		shape->max = trie->nodes[i].nchildren + SHAPE_ENTRIES;
		entries += shape->max;
	}
}

/*
 * apigouv_rowstream_create
 *		Begin to read one reply.
 *
 * projection: must live longer.  Returns NULL when out of memory.
 */
ApigouvRowstream *
apigouv_rowstream_create(const ApigouvProjection *projection)
{
	ApigouvRowstream *stream = calloc(1, sizeof(ApigouvRowstream));
	size_t		nplaces = (size_t) projection->nenvelope + 1;
	size_t		nentries = 1;
	size_t		i;

	if (stream == NULL)
		return NULL;
	for (i = 0; i < projection->row.nnodes; i++)
	{
		int			nchildren = projection->row.nodes[i].nchildren;

		if (nchildren > 0)
			nentries += (size_t) (nchildren + SHAPE_ENTRIES);
	}
	stream->projection = projection;
	stream->places = calloc(nplaces, sizeof(Place));
	stream->scratch = calloc(nplaces, sizeof(ApigouvValue));
	stream->shapes = calloc(projection->row.nnodes, sizeof(Shape));
	stream->entries = malloc(nentries * sizeof(Entry));
	if (stream->places == NULL || stream->scratch == NULL ||
		stream->shapes == NULL || stream->entries == NULL)
	{
		apigouv_rowstream_free(stream);
		return NULL;
	}
	make_shapes(stream);
	return stream;
}

void
apigouv_rowstream_free(ApigouvRowstream *stream)
{
	if (stream == NULL)
		return;
	free(stream->places);
	free(stream->scratch);
	free(stream->shapes);
	free(stream->entries);
	free(stream);
}

/*
 * apigouv_rowstream_restart
 *		Begin to read another reply.
 *
 * What was learnt of the order of members stays.  Envelope values are those
 * of the reply before until they are met.
 */
void
apigouv_rowstream_restart(ApigouvRowstream *stream)
{
	stream->state = AT_VALUE;
	stream->level = 0;
	stream->met = 0;
	stream->found = false;
	stream->pos = 0;
	stream->row_at = 0;
	stream->retry_at = 0;
	stream->error = NULL;
}

/* Keep a value for the envelope paths that lead to a node. */
static void
keep_value(ApigouvRowstream *stream, const char *base, int node,
		   ApigouvValue value)
{
	const Trie *trie = &stream->projection->envelope;
	int			slot;

	for (slot = trie->nodes[node].first_slot; slot >= 0;
		 slot = trie->next_slot[slot])
	{
		Place	   *place = &stream->places[slot];

		place->kind = value.kind;
		place->escaped = value.escaped;
		place->len = value.len;
		place->offset = value.kind == APIGOUV_ABSENT ? 0 :
			(size_t) (value.text - base);
	}
}

/* Keep what was read in scratch for a node of the envelope and below it. */
static void
keep_scratch(ApigouvRowstream *stream, const char *base, int node)
{
	const Trie *trie = &stream->projection->envelope;
	const Node *n = &trie->nodes[node];
	int			i;

	if (n->first_slot >= 0)
		keep_value(stream, base, node, stream->scratch[n->first_slot]);
	for (i = 0; i < n->nchildren; i++)
		keep_scratch(stream, base, trie->children[n->child_at + i]);
}

/* Read a value of the envelope, p at its first byte, and keep it. */
static const char *
read_envelope(ApigouvRowstream *stream, Reader *r, const char *base,
			  int node, const char *p, int depth)
{
	r->trie = &stream->projection->envelope;
	r->shapes = NULL;
	r->values = stream->scratch;
	p = read_value(r, node, p, depth);
	if (p != NULL)
		keep_scratch(stream, base, node);
	return p;
}

static const char *
read_row(ApigouvRowstream *stream, Reader *r, ApigouvValue *values,
		 const char *p, int depth)
{
	r->trie = &stream->projection->row;
	r->shapes = stream->shapes;
	r->values = values;
	return read_value(r, 0, p, depth);
}

/* The value at spine[level] has ended at p. */
static void
end_value(ApigouvRowstream *stream, const char *base, const char *p)
{
	stream->pos = (size_t) (p - base);
	stream->first = false;
	if (stream->level == 0)
		stream->state = AFTER;
	else
	{
		stream->level--;
		stream->state = IN_OBJECT;
	}
}

/* It is a container whose closing bracket is at p. */
static Step
end_container(ApigouvRowstream *stream, const char *base, const char *p)
{
	keep_value(stream, base, stream->projection->spine[stream->level],
			   make_value(base + stream->starts[stream->level], p + 1, false));
	end_value(stream, base, p + 1);
	return STEP_ON;
}

/* It is a container that opens at p. */
static Step
open_container(ApigouvRowstream *stream, const char *base, const char *p,
			   State state)
{
	stream->starts[stream->level] = (size_t) (p - base);
	stream->row_at = (size_t) (p + 1 - base);
	stream->pos = (size_t) (p + 1 - base);
	stream->first = true;
	stream->state = state;
	return STEP_ON;
}

/* For the result of run_out, unexpected and fail. */
static Step
stopped(const char *nothing)
{
	return nothing == NULL ? STEP_STOP : STEP_ON;
}

/*
 * AT_VALUE: open a container on the way to the rows, or take the rows, or see
 * that there are none.
 */
static Step
step_value(ApigouvRowstream *stream, Reader *r, const char *base,
		   const char *p, ApigouvValue *values)
{
	const ApigouvProjection *projection = stream->projection;
	int			node = projection->spine[stream->level];
	int			depth = stream->level;
	bool		at_rows = stream->level == projection->nsteps;
	const char *start;
	int			c = peek(&r->scan, &p);

	if (c < 0)
		return stopped(run_out(&r->scan));
	if (p == base && c == 0xEF)
		return stopped(fail(&r->scan, p, BYTE_ORDER_MARK));
	if (!at_rows && c == '{')
		return open_container(stream, base, p, IN_OBJECT);
	if (at_rows && projection->list)
	{
		if (c == '[')
		{
			stream->found = true;
			return open_container(stream, base, p, IN_LIST);
		}
		if (strchr("{\"-0123456789tf", c) != NULL && c != 0)
			return stopped(fail(&r->scan, p, NOT_A_LIST));
	}
	start = p;
	at_rows = at_rows && c != 'n';
	if (at_rows)
	{
		p = read_row(stream, r, values, start, depth);
		if (p != NULL && projection->envelope_in_row)
			p = read_envelope(stream, r, base, node, start, depth);
	}
	else
		p = read_envelope(stream, r, base, node, start, depth);
	if (p == NULL)
		return STEP_STOP;
	end_value(stream, base, p);
	stream->found = at_rows;
	return at_rows ? STEP_ROW : STEP_ON;
}

/* IN_OBJECT: one member, or the end. */
static Step
step_member(ApigouvRowstream *stream, Reader *r, const char *base,
			const char *p)
{
	const ApigouvProjection *projection = stream->projection;
	Scan	   *s = &r->scan;
	const char *name;
	bool		escaped = false;
	int			child;
	int			c = peek(s, &p);

	if (c == '}')
		return end_container(stream, base, p);
	if (!stream->first)
	{
		if (c != ',')
			return stopped(unexpected(s, p, c));
		p++;
		c = peek(s, &p);
	}
	if (c != '"')
		return stopped(unexpected(s, p, c));
	name = p + 1;
	p = skip_string(s, name, false, &escaped);
	if (p == NULL)
		return STEP_STOP;
	child = find_child(&projection->envelope, projection->spine[stream->level],
					   name, (size_t) (p - 1 - name), escaped);
	c = peek(s, &p);
	if (c != ':')
		return stopped(unexpected(s, p, c));
	p++;
	if (child >= 0 && child == projection->spine[stream->level + 1])
	{
		if (stream->met > stream->level)
			return stopped(fail(s, name, ROWS_TWICE));
		stream->met = ++stream->level;
		stream->state = AT_VALUE;
		stream->pos = (size_t) (p - base);
		return STEP_ON;
	}
	if (peek(s, &p) < 0)
		return stopped(run_out(s));
	if (child >= 0)
		p = read_envelope(stream, r, base, child, p, stream->level + 1);
	else
		p = skip_value(s, p, stream->level + 1, &escaped);
	if (p == NULL)
		return STEP_STOP;
	stream->pos = (size_t) (p - base);
	stream->first = false;
	return STEP_ON;
}

/* IN_LIST: one row, or the end. */
static Step
step_element(ApigouvRowstream *stream, Reader *r, const char *base,
			 const char *p, ApigouvValue *values)
{
	int			c = peek(&r->scan, &p);

	if (stream->first || c != ',')
	{
		if (c == ']')
			return end_container(stream, base, p);
		if (!stream->first)
			return stopped(unexpected(&r->scan, p, c));
	}
	else
	{
		p++;
		c = peek(&r->scan, &p);
	}
	if (c < 0)
		return stopped(run_out(&r->scan));
	p = read_row(stream, r, values, p, stream->level + 1);
	if (p == NULL)
		return STEP_STOP;
	stream->row_at = stream->pos;
	stream->pos = (size_t) (p - base);
	stream->first = false;
	return STEP_ROW;
}

/* AFTER: blanks only. */
static Step
step_after(Scan *s, const char *p)
{
	return stopped(peek(s, &p) < 0 ? run_out(s) : fail(s, p, TEXT_AFTER));
}

/* Reading has stopped: is it an error, the end, or a lack of bytes? */
static ApigouvRowResult
stop(ApigouvRowstream *stream, const Scan *s, const char *base)
{
	size_t		len = (size_t) (s->end - base);

	if (s->error == NULL)
	{
		if (!s->complete)
		{
			stream->retry_at = len + (len - stream->pos);
			return APIGOUV_ROW_MORE;
		}
		if (stream->state == AFTER)
			return APIGOUV_ROW_END;
	}
	stream->error = s->error;
	if (stream->error == NULL)
		stream->error = stream->state == AT_VALUE && stream->level == 0 &&
			skip_blanks(base, s->end) == s->end ? EMPTY_DOCUMENT : ENDS_EARLY;
	stream->error_at = (size_t) (s->at - base);
	return APIGOUV_ROW_ERROR;
}

/*
 * apigouv_rowstream_next
 *		Read on to the next row.
 *
 * values: one per row path; meaningful only with APIGOUV_ROW.  An element of
 * the list that is null, or no object, is a row as well.
 *
 * After APIGOUV_ROW, call again with the same bytes or more.  After
 * APIGOUV_ROW_MORE, call again when there are more, or complete is known: END
 * comes only then, as bytes after the document would be an error.
 */
ApigouvRowResult
apigouv_rowstream_next(ApigouvRowstream *stream,
					   const char *base, size_t len, bool complete,
					   ApigouvValue *values)
{
	Reader		r;
	Step		step;

	if (stream->error != NULL)
		return APIGOUV_ROW_ERROR;
	if (!complete && len < stream->retry_at)
		return APIGOUV_ROW_MORE;
	if (base == NULL)
		base = "";
	scan_init(&r.scan, base + len, complete);
	do
	{
		const char *p = base + stream->pos;

		switch (stream->state)
		{
			case AT_VALUE:
				step = step_value(stream, &r, base, p, values);
				break;
			case IN_OBJECT:
				step = step_member(stream, &r, base, p);
				break;
			case IN_LIST:
				step = step_element(stream, &r, base, p, values);
				break;
			default:
				step = step_after(&r.scan, p);
		}
	} while (step == STEP_ON);
	return step == STEP_ROW ? APIGOUV_ROW : stop(stream, &r.scan, base);
}

bool
apigouv_rowstream_found(const ApigouvRowstream *stream)
{
	return stream->found;
}

ApigouvValue
apigouv_rowstream_envelope(const ApigouvRowstream *stream,
						   const char *base, int index)
{
	const Place *place = &stream->places[index];
	ApigouvValue value;

	value.kind = place->kind;
	value.escaped = place->escaped;
	value.text = place->kind == APIGOUV_ABSENT ? NULL : base + place->offset;
	value.len = place->len;
	return value;
}

void
apigouv_rowstream_behind(const ApigouvRowstream *stream,
						 size_t *from, size_t *to)
{
	*from = *to = 0;
	if (stream->state != IN_LIST)
		return;
	*from = stream->starts[stream->level] + 1;
	*to = stream->row_at;
}

const char *
apigouv_rowstream_error(const ApigouvRowstream *stream, size_t *offset)
{
	*offset = stream->error_at;
	return stream->error;
}
