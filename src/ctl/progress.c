/* SPDX-License-Identifier: Apache-2.0 */
/* How far a long command is: a bar on a terminal, lines elsewhere. */
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <yajl/yajl_tree.h>

#include "ctl.h"

enum { LINE_LEN_MAX = 1024, WIDTH_USUAL = 80, WIDTH_MAX = 200, BAR_LEN = 24 };

static bool on_bar;	       /* the cursor is in a bar's line */
static long long shown = -10; /* the percentage of the last line */

/* Columns of the terminal. */
static size_t
width(void)
{
	struct winsize w;

	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) != 0 || w.ws_col == 0)
		return WIDTH_USUAL;
	return w.ws_col < WIDTH_MAX ? w.ws_col : WIDTH_MAX;
}

void
ctl_progress_end(void)
{
	if (on_bar)
		putchar('\n');
	on_bar = false;
	fflush(stdout);
}

/* All members but the first and the percentage: "objects 12, left 0". */
static void
put_members(char *line, yajl_val v)
{
	size_t len = 0;

	line[0] = '\0';
	for (size_t i = 1; i < v->u.object.len && len < LINE_LEN_MAX; i++)
		if (strcmp(v->u.object.keys[i], "percent") != 0)
			len += (size_t)snprintf(line + len, LINE_LEN_MAX - len, "%s%s %s",
			    len > 0 ? ", " : "", v->u.object.keys[i],
			    ctl_cell(v->u.object.values[i]));
}

/* The last column stays free, so that no terminal begins another line. */
static void
draw_bar(const char *about, long long percent, const char *members)
{
	char line[2 * LINE_LEN_MAX + 64], bar[BAR_LEN + 1];
	int columns = (int)width() - 1;
	size_t full = (size_t)(percent * BAR_LEN / 100);

	memset(bar, '.', BAR_LEN);
	memset(bar, '#', full);
	bar[BAR_LEN] = '\0';
	snprintf(line, sizeof(line), "[%s] %3lld %%  %s%s%s", bar, percent, about,
	    members[0] != '\0' ? ": " : "", members);
	printf("\r%-*.*s", columns, columns, line);
	on_bar = true;
}

static void
tell(const char *about, long long percent, const char *members)
{
	if (isatty(STDOUT_FILENO)) {
		draw_bar(about, percent, members);
	} else if (percent / 10 > shown / 10 || shown < 0) {
		printf("%s: %lld %%%s%s\n", about, percent, members[0] != '\0' ? ", " : "",
		    members);
		shown = percent;
	}
}

static void
conclude(const char *about, const char *members)
{
	if (on_bar) {
		printf("\r%*s\r", (int)width() - 1, "");
		on_bar = false;
	}
	printf("%s: %s\n", about, members);
	shown = -10;
}

bool
ctl_progress(const char *document)
{
	static const char *path[] = {"percent", NULL};
	char about[LINE_LEN_MAX], members[LINE_LEN_MAX];
	yajl_val tree = yajl_tree_parse(document, NULL, 0), percent;

	if (!YAJL_IS_OBJECT(tree) || tree->u.object.len == 0) {
		yajl_tree_free(tree);
		return false;
	}
	snprintf(about, sizeof(about), "%s", ctl_cell(tree->u.object.values[0]));
	put_members(members, tree);
	percent = yajl_tree_get(tree, path, yajl_t_number);
	if (YAJL_IS_INTEGER(percent) && YAJL_GET_INTEGER(percent) >= 0 &&
	    YAJL_GET_INTEGER(percent) <= 100)
		tell(about, YAJL_GET_INTEGER(percent), members);
	else
		conclude(about, members);
	yajl_tree_free(tree);
	return true;
}
