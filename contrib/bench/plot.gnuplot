# SPDX-License-Identifier: Apache-2.0
# gnuplot -e "data='FILE'; picture='FILE'" plot.gnuplot: what compare.py found
set terminal pngcairo size 900,380 font "sans,10"
set output picture
set title "Cost of an operation for the server; the better of nginx and HAProxy is 1"
set style data histogram
set style histogram clustered gap 1.5
set style fill solid 0.9 noborder
set yrange [0:*]
set grid ytics lc rgb "#dddddd"
set key outside right top
set xtics rotate by -25 nomirror
set datafile separator "\t"
plot data using 2:xtic(1) title "keyferryd" lc rgb "#1f6fb4", \
  data using 3 title "nginx" lc rgb "#9a9a9a", \
  data using 4 title "HAProxy" lc rgb "#d0a050", \
  1 notitle lc rgb "#444444" dt 2
